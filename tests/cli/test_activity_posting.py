"""Posting a file of activities to a server that is in trouble for a moment."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.cli.conftest import Terminal


class Troubled(ThreadingHTTPServer):
    """Answers as a server does whose store takes one of a batch and not the other, the first time."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.posted: list[list[Any]] = []
        self.keys: list[str | None] = []

    def results(self, activities: list[Any]) -> list[dict[str, Any]]:
        self.posted.append(activities)
        first = len(self.posted) == 1
        return [
            {"status": "refused", "error": {"status": 503, "title": "Unavailable", "detail": "post again"}}
            if first and one["click_id"] != "a"
            else {"status": "accepted", "id": "act_1", "duplicate": False, "events": []}
            for one in activities
        ]


class _Handler(BaseHTTPRequestHandler):
    server: Troubled

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.keys.append(self.headers["Idempotency-Key"])
        answer = json.dumps({"results": self.server.results(body["activities"])}).encode()
        self.send_response(202)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


def test_what_could_not_be_stored_is_posted_again_alone(tmp_path: Path) -> None:
    """Lines that the server had no room for go out once more, under another Idempotency-Key; the others do not."""
    lines = [json.dumps({"kind": "click", "click_id": name}) for name in "abc"]
    (tmp_path / "clicks.jsonl").write_text("\n".join(lines))
    with Troubled() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        terminal = Terminal(tmp_path, url=f"http://127.0.0.1:{server.server_port}", key="tsn_x")
        ran = terminal.ok("activity", "--file", "clicks.jsonl", "--json")
        server.shutdown()
    assert (ran.json["accepted"], ran.json["refused"]) == (3, 0)
    assert [[one["click_id"] for one in together] for together in server.posted] == [["a", "b", "c"], ["b", "c"]]
    assert len(set(server.keys)) == 2
    assert None not in server.keys
