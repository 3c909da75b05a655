"""What is seen of a message that Discord has taken."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from tocsin.receiver.doubles.discord_markup import blocks_of, runs_of
from tocsin.receiver.doubles.display import Block, Card, Field, Fields, Picture, Run, Text, plain

_NO_MENTIONS: frozenset[str] = frozenset()  # what stands in an embed calls nobody


def blocks_seen(payload: Mapping[str, Any], callable_by: frozenset[str]) -> tuple[Block, ...]:
    """The content, then the embeds."""
    content = str(payload.get("content") or "").strip()
    embeds = [Card(tuple(_embed(embed)), _colour(embed.get("color"))) for embed in payload.get("embeds") or ()]
    return (*blocks_of(content, callable_by=callable_by), *embeds)


def _colour(colour: Any) -> str:
    return f"#{colour:06x}" if colour else ""


def _embed(embed: Mapping[str, Any]) -> Iterator[Block]:
    author, footer = embed.get("author") or {}, embed.get("footer") or {}
    if author.get("name"):
        yield Text((Run(author["name"].strip(), href=author.get("url") or ""),), "author")
    if embed.get("title"):
        link = embed.get("url") or ""
        runs = runs_of(embed["title"].strip(), callable_by=_NO_MENTIONS)
        yield Text(tuple(Run(run.text, run.marks, link) for run in runs) if link else runs, "title")
    if embed.get("description"):
        yield from blocks_of(embed["description"].strip())
    if embed.get("fields"):
        yield Fields(
            tuple(
                Field(runs_of(field["name"].strip()), runs_of(field["value"].strip()), bool(field.get("inline")))
                for field in embed["fields"]
            )
        )
    for name in ("image", "thumbnail"):
        if (embed.get(name) or {}).get("url"):
            yield Picture(name, embed[name]["url"])
    foot = [footer["text"].strip()] if footer.get("text") else []
    if embed.get("timestamp"):
        foot.append(f"{datetime.fromisoformat(embed['timestamp']):%d/%m/%Y %H:%M}")
    if foot:
        yield Text(plain(" • ".join(foot)), "small")
