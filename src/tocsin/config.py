"""Settings: flags, then ``TOCSIN_*`` variables, then ``tocsin.toml``. Read here and nowhere else."""

import base64
import ipaddress
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import msgspec

from tocsin.errors import Misconfigured

Role = Literal["all", "api", "worker"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting, with its default. The variable of `allow_http` is ``TOCSIN_ALLOW_HTTP``, and so on."""

    db: str = "sqlite:///tocsin.db"
    host: str = "127.0.0.1"
    port: int = 8400
    role: Role = "all"  # those but the first share a PostgreSQL database with others
    admin_key: str | None = None  # the operator's key; made and printed at the first start
    secret_key: str | None = None  # 32 bytes, base64; on SQLite made in a 0600 file beside the database
    public_url: str | None = None
    allow_http: bool = False
    allow_networks: str = ""  # comma-separated CIDRs
    retry_scale: float = 1.0
    smtp_url: str | None = None
    smtp_ca_file: str | None = None  # trust anchors for the mail server's certificate; unset: as `ca_file`
    ca_file: str | None = None  # trust anchors for receivers' certificates; unset: certifi's
    dns_servers: str = ""  # comma-separated; unset: the system's
    profiles: str | None = None  # a folder of dialects beside ours, each a folder of its name
    knowledge: str = ""  # comma-separated files, or folders of files, of addresses: hosting.txt, ipsum.txt, *.mmdb …
    cue_trust_user_id: bool = False  # x-user-id is believed where it comes from one of `trusted_proxies`
    trusted_proxies: str = "127.0.0.0/8,::1/128"  # comma-separated CIDRs
    log_format: Literal["text", "json"] = "text"
    drain_s: float = 30.0  # how long a stop waits for attempts under way
    dedupe_days: int = 30
    body_days: int = 30
    attempt_days: int = 90

    @property
    def serves_api(self) -> bool:
        """Else it answers probes only."""
        return self.role != "worker"

    @property
    def sends(self) -> bool:
        """It takes shards, and does what is done once for all where it has the first."""
        return self.role != "api"

    def networks(self) -> tuple[Network, ...]:
        """`allow_networks`, parsed.

        Raises:
            Misconfigured: one of them is no CIDR.
        """
        return _cidrs("TOCSIN_ALLOW_NETWORKS", self.allow_networks)

    def proxies(self) -> tuple[Network, ...]:
        """`trusted_proxies`, parsed.

        Raises:
            Misconfigured: one of them is no CIDR, or is the whole Internet.
        """
        found = _cidrs("TOCSIN_TRUSTED_PROXIES", self.trusted_proxies)
        everybody = next((one for one in found if one.prefixlen == 0), None)
        if everybody is not None:
            raise Misconfigured(f"TOCSIN_TRUSTED_PROXIES: {everybody} is everybody; name your gateway's own network")
        return found

    def profiles_folder(self) -> Path | None:
        return None if self.profiles is None else Path(self.profiles)

    def knowledge_sources(self) -> tuple[Path, ...]:
        return tuple(Path(one.strip()) for one in self.knowledge.split(",") if one.strip())

    def vault_key(self) -> bytes | None:
        """`secret_key`, decoded.

        Raises:
            Misconfigured: it is not 32 bytes in base64.
        """
        if self.secret_key is None:
            return None
        try:
            key = base64.b64decode(self.secret_key, validate=True)
        except ValueError:
            key = b""
        if len(key) != 32:
            raise Misconfigured("TOCSIN_SECRET_KEY is not 32 bytes in base64; make one with: openssl rand -base64 32")
        return key

    def sqlite_path(self) -> Path:
        """The file behind a ``sqlite:///`` address.

        Raises:
            Misconfigured: `db` is of another kind; or the role is one for processes that share a database.
        """
        scheme, _, path = self.db.partition(":///")
        if scheme != "sqlite" or not path:
            raise Misconfigured(
                f"TOCSIN_DB {self.db_shown!r} is not understood; write sqlite:///tocsin.db, or postgresql://host/name"
            )
        if self.role != "all":
            raise Misconfigured(
                f"TOCSIN_ROLE={self.role}: one process does everything on SQLite; leave --role at all, or share a "
                "PostgreSQL database"
            )
        return Path(path)

    def postgres_url(self) -> str | None:
        """The address of a PostgreSQL database; None where `db` is of another kind."""
        return self.db if self.db.startswith(("postgresql://", "postgres://")) else None

    @property
    def db_shown(self) -> str:
        """The database's address without what may be secret in it."""
        parts = urlsplit(self.db)
        _, at, host = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"…@{host}" if at else host, query="")) if parts.netloc else self.db


def _cidrs(name: str, text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise Misconfigured(f"{name}: {error}; write CIDRs such as 127.0.0.0/8") from None


# A day of retention is the least that lets a person look into what went wrong; ten years are for ever. A stop that
# drains for longer than an hour is no stop.
_BOUNDS = (
    ("port", 0, 65_535),
    ("drain_s", 0, 3_600),
    ("dedupe_days", 1, 3_650),
    ("body_days", 1, 3_650),
    ("attempt_days", 1, 3_650),
)


def load(flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None = None) -> Settings:
    """Merges the three sources, the strongest first: `flags` (None: not given), `environ`, then the TOML `file`.

    Raises:
        Misconfigured: a name is unknown or a value does not fit, said with where it came from.
    """
    merged: dict[str, Any] = {}
    names = {field.name for field in msgspec.structs.fields(Settings)}
    if file is not None and file.exists():
        try:
            found = tomllib.loads(file.read_text())
        except tomllib.TOMLDecodeError as error:
            raise Misconfigured(f"{file}: {error}") from None
        unknown = sorted(found.keys() - names)
        if unknown:
            raise Misconfigured(f"{file}: no setting is called {', '.join(unknown)}")
        merged.update(found)
    for name in names:
        value = environ.get(f"TOCSIN_{name.upper()}")
        if value:
            merged[name] = value
    merged.update({name: value for name, value in flags.items() if value is not None})
    try:
        settings = msgspec.convert(merged, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise Misconfigured(_said(error)) from None
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    if not 0 < settings.retry_scale <= 1000:
        raise Misconfigured("TOCSIN_RETRY_SCALE must be above 0 and at most 1000")
    for name, least, most in _BOUNDS:
        if not least <= getattr(settings, name) <= most:
            raise Misconfigured(f"TOCSIN_{name.upper()} must be {least} to {most}")
    settings.networks()
    proxies = settings.proxies()
    if settings.cue_trust_user_id and not proxies:
        raise Misconfigured("TOCSIN_CUE_TRUST_USER_ID needs the networks of your gateway in TOCSIN_TRUSTED_PROXIES")
    settings.vault_key()


def _said(error: msgspec.ValidationError) -> str:
    """In the words of whoever sets variables: ``TOCSIN_ALLOW_HTTP: write 1 or 0``."""
    what, _, name = str(error).rpartition(" - at `$.")
    if not name:
        return f"settings: {error}"
    what = "write 1 or 0" if "Expected `bool`" in what else what[:1].lower() + what[1:].replace("`", "")
    return f"TOCSIN_{name.rstrip('`').upper()}: {what}"
