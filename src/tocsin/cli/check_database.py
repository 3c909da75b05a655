"""What `doctor` looks at in a database: where it is, what is in it, how it is kept, who works on it, and its key."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tocsin import installation
from tocsin.cli.findings import FAIL, OK, WARN, Finding
from tocsin.config import Settings
from tocsin.engine.cluster.membership import LEASE_S
from tocsin.errors import Misconfigured
from tocsin.security.vault import KEY_BYTES
from tocsin.shards import CHIEF, SHARDS

_LITTLE_SPACE = 1 << 30
_NO_SPACE = 100 << 20
_CLOCK_OFF_S = 1.0  # signatures may be minutes off; but whose clock is off by seconds has none that is kept right


def look(settings: Settings) -> Iterator[Finding]:
    try:
        url = settings.postgres_url()
        path = None if url is not None else settings.sqlite_path()
    except Misconfigured as error:
        yield Finding(FAIL, "database", error.detail)
        return
    if path is None:
        key, key_finding = _given_key(settings)
        yield from _contents(settings, settings.db_shown, key, key_finding)
        return
    folder = path.absolute().parent
    if not folder.is_dir():
        yield Finding(FAIL, "database", f"{folder} is not there", f"mkdir -p {folder}")
        return
    unwritable = [one for one in (folder, path) if one.exists() and not os.access(one, os.W_OK)]
    if unwritable:
        yield Finding(FAIL, "database", f"{unwritable[0]} cannot be written", "change its owner or its mode")
    free = shutil.disk_usage(folder).free
    if free < _LITTLE_SPACE:
        state = FAIL if free < _NO_SPACE else WARN
        yield Finding(state, "database", f"{free >> 20} MiB are left on its disk", "make space, or move the file")
    key, key_finding = _key(settings, path)
    yield from _contents(settings, str(path), key, key_finding)


def _contents(settings: Settings, shown: str, key: bytes | None, key_finding: Finding) -> Iterator[Finding]:
    try:
        found = asyncio.run(installation.examine(settings, key))
    except Misconfigured as error:
        yield Finding(FAIL, "database", error.detail)
        return
    if found.schema is None:
        yield Finding(OK, "database", f"{shown} will be made at the first start")
    elif found.schema.found < found.schema.newest:
        detail = f"{shown} has schema {found.schema.found}; this program's is {found.schema.newest}"
        yield Finding(WARN, "database", detail, "run: tocsin migrate (a start of the server does it too)")
    elif found.faults:
        detail = f"{shown} is damaged: {'; '.join(found.faults[:3])}"
        yield Finding(FAIL, "database", detail, "stop the server and restore a backup")
    else:
        yield Finding(OK, "database", f"{shown} is whole, its schema is {found.schema.found}")
    yield from _conditions(found)
    yield from _processes(found)
    for name, accounts in found.profiles_missing.items():
        detail = f"{accounts} of its accounts have the profile {name}, which is not there: their deliveries wait"
        yield Finding(FAIL, "database", detail, f"give the folder that {name} is in as TOCSIN_PROFILES")
    if found.key_fits is False:
        yield Finding(
            FAIL,
            "key of the secrets",
            "it is not the one that the database's secrets are encrypted with",
            "bring back the .key file beside the database, or the right TOCSIN_SECRET_KEY",
        )
    else:
        yield key_finding


def _conditions(found: installation.Examination) -> Iterator[Finding]:
    for one in found.conditions:
        yield Finding(FAIL if one.grave else WARN, "database", one.detail, one.mend)
    ahead_s = found.clock_ahead_s
    if ahead_s is not None and abs(ahead_s) > _CLOCK_OFF_S:
        which = "before" if ahead_s > 0 else "behind"
        detail = f"this machine's clock is {abs(ahead_s):.1f} s {which} the database's, which counts"
        yield Finding(WARN, "clock", detail, "run an NTP client on both, such as chrony or systemd-timesyncd")


def _processes(found: installation.Examination) -> Iterator[Finding]:
    """Those at work on a database that can be shared."""
    for node, unseen_s in found.nodes:
        does = f"sends for {len(node.shards)} of {SHARDS} shards" if node.sends else "answers requests"
        if CHIEF in node.shards:
            does += ", and does what is done once"
        if unseen_s > LEASE_S:
            detail = f"{node.name} {does}, and was not seen for {unseen_s:.0f} s"
            yield Finding(WARN, "process", detail, "start it again, if it died: the next one that is seen takes over")
        else:
            yield Finding(OK, "process", f"{node.name} {does}")
    if found.nodes and not any(node.sends for node, _ in found.nodes):
        yield Finding(FAIL, "process", "nobody sends", "start a process with TOCSIN_ROLE=worker")


def _given_key(settings: Settings) -> tuple[bytes | None, Finding]:
    subject = "key of the secrets"
    try:
        given = settings.vault_key()
    except Misconfigured as error:
        return None, Finding(FAIL, subject, error.detail)
    if given is not None:
        return given, Finding(OK, subject, "TOCSIN_SECRET_KEY is given")
    return None, Finding(
        FAIL, subject, "TOCSIN_SECRET_KEY is not set; PostgreSQL needs it", "make one with: openssl rand -base64 32"
    )


def _key(settings: Settings, database: Path) -> tuple[bytes | None, Finding]:
    subject = "key of the secrets"
    if settings.vault_key() is not None:
        return _given_key(settings)
    path = database.with_name(f"{database.name}.key")
    if not path.exists():
        return None, Finding(OK, subject, f"{path} will be made at the first start", "keep a copy of it then")
    try:
        key = path.read_bytes()
    except OSError as error:
        return None, Finding(FAIL, subject, f"{path} cannot be read: {error.strerror}", "change its owner")
    if path.stat().st_mode & 0o077:
        return key, Finding(FAIL, subject, f"{path} can be read by others", f"chmod 600 {path}")
    if len(key) != KEY_BYTES:
        return None, Finding(FAIL, subject, f"{path} does not hold {KEY_BYTES} bytes", "bring the right one back")
    return key, Finding(OK, subject, f"{path} fits and is readable by its owner only", "keep a copy of it elsewhere")
