"""How an attempt is shown to someone who wants to know, at two in the morning, why it failed."""

import time
from typing import Any

from tocsin.cli.output import ago, heading, pretty_body, put_pairs, put_text, span


def put(attempt: dict[str, Any], *, whole: bool = True) -> None:
    """One attempt: how it ended first, then what was sent and what came back.

    Args:
        whole: with the request's and the answer's headers and bodies.
    """
    status = attempt["status_code"]
    ended = attempt["outcome"] if status is None else f"{attempt['outcome']} ({status})"
    trigger = "" if attempt["trigger"] == "schedule" else f", {attempt['trigger']}"
    heading(f"Attempt {attempt['n']}{trigger}: {ended} after {span(attempt['duration_ms'] / 1000)}")
    put_pairs(
        {
            "  started": ago(attempt["started_at"], time.time()),
            "  error": attempt["error"],
            "  connected to": attempt["peer"],
            "  sent twice": "the reused connection died unanswered" if attempt["resent"] else None,
        }
    )
    if not whole:
        return
    request = attempt["request"]
    put_text(f"  > {request['method']} {request['url']}")
    _put_message(">", request["headers"], request["body"], request["body_encoding"], missing="(no longer kept)")
    answer = attempt["response"]
    if answer is None:
        put_text("  < no answer")
        return
    put_text(f"  < {status}")
    _put_message("<", answer["headers"], answer["body"], answer["body_encoding"])
    if answer["body_truncated"]:
        put_text("  < (cut: only the first 16 KiB are read)")


def _put_message(mark: str, headers: dict[str, str], body: str | None, encoding: str, missing: str = "") -> None:
    for name, value in headers.items():
        put_text(f"  {mark} {name}: {value}")
    if body is None:
        put_text(f"  {mark} {missing}")
    elif body:
        shown = pretty_body(body) if encoding == "utf-8" else f"(no text; in base64) {body}"
        put_text(f"  {mark}")
        for line in shown.split("\n"):
            put_text(f"  {mark} {line}")
