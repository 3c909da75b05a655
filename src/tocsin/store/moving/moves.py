"""The ways in: a move, as far as it can be done now, and back."""

from pathlib import Path

import msgspec

from tocsin.clock import Clock
from tocsin.errors import Misconfigured
from tocsin.store.moving.report import Moved, Tell
from tocsin.store.moving.run import ROWS, Run
from tocsin.store.moving.source import Source
from tocsin.store.moving.target import Target, open_target, told
from tocsin.store.sqlite.lock import FileLock


async def move(path: Path, url: str, *, fingerprint: str | None, clock: Clock, tell: Tell, rows: int = ROWS) -> Moved:
    """Moves as much as can be moved now.

    Args:
        fingerprint: of the key that the new server will be given.
        rows: of a piece, for tests.

    Raises:
        Misconfigured: the file or the database is not one that this can be done with, and nothing was changed; or the
            database's user may not do it.
        Unavailable: the database does not answer; the same call goes on where it was.
    """
    run = Run(path, clock, tell, rows)
    try:
        run.check_key(fingerprint)
        target = await open_target(url)
        try:
            return await run.go(target)
        except Exception as error:
            raise told(error, target.shown) from error
        finally:
            await target.close()
    finally:
        run.close()


async def undo(path: Path, url: str | None) -> None:
    """Lets the file be served again, and the database, where it is named, no more.

    Raises:
        Misconfigured: it was not moved, or to another database.
        Unavailable: the database does not answer; nothing was changed.
    """
    held = FileLock(path)
    try:
        source = Source(path, alone=True)
        try:
            moved = source.moved_to()
            if moved is None:
                raise Misconfigured(f"{path} was not moved")
            if url is not None:
                await _give_up(source, url)
            source.mark_unmoved()
        finally:
            source.close()
    finally:
        held.release()


async def _give_up(source: Source, url: str) -> None:
    target = await open_target(url)
    try:
        await _refuse(source, target)
    except Exception as error:
        raise told(error, target.shown) from error
    finally:
        await target.close()


async def _refuse(source: Source, target: Target) -> None:
    found = await target.move()
    if found is None or found[0].source != source.identity():
        raise Misconfigured(f"{source.path} was not moved to {target.shown}")
    await target.give_up(msgspec.structs.replace(found[0], given_up=True))
