"""The server's settings as flags, for the commands that work on the installation itself."""

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from tocsin.cli.exits import USAGE, Failure

if TYPE_CHECKING:
    from tocsin.config import Settings

_GROUP = Group("Settings", sort_key=80)
_Text = Annotated[str | None, Parameter(group=_GROUP, negative=(), show_default=False)]
_DEFAULT_FILE = Path("tocsin.toml")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SettingFlags:
    """Each is also a ``TOCSIN_*`` variable and a key of tocsin.toml; the flag is the strongest.

    Secrets are no flags: other users of the machine see those.
    """

    config: Annotated[Path | None, Parameter(group=_GROUP, negative=(), show_default=False)] = None
    """The file of settings; tocsin.toml here, where there is one."""

    db: _Text = None
    """The database: sqlite:///tocsin.db unless said otherwise; or postgresql://…, best as a variable."""

    host: _Text = None
    """The address to listen at: 127.0.0.1 unless said otherwise."""

    port: Annotated[int | None, Parameter(group=_GROUP, negative=(), show_default=False)] = None
    """The port to listen at: 8400 unless said otherwise; 0 takes a free one."""

    role: Annotated[
        Literal["all", "api", "worker"] | None, Parameter(group=_GROUP, negative=(), show_default=False)
    ] = None
    """What this process does: all; or, where several share a PostgreSQL database, api or worker."""

    public_url: _Text = None
    """Where the server is seen from outside, for links in e-mails."""

    allow_http: Annotated[bool | None, Parameter(group=_GROUP, negative=(), show_default=False)] = None
    """Take plain-http webhook addresses too."""

    allow_networks: _Text = None
    """Networks that the outbound guard lets through, as CIDRs, separated by commas."""

    retry_scale: Annotated[float | None, Parameter(group=_GROUP, negative=(), show_default=False)] = None
    """Multiply every retry delay; for drills and development."""

    ca_file: _Text = None
    """Trust anchors for receivers' certificates, instead of certifi's."""

    dns_servers: _Text = None
    """Name servers, separated by commas, instead of the system's."""

    profiles: _Text = None
    """A folder of dialects beside Tocsin's own, each a folder of its name."""

    knowledge: _Text = None
    """Lists of addresses of your own (hosting.txt, vpn.txt, ipsum.txt, *.mmdb …): files or folders, with commas."""

    log_format: Annotated[Literal["text", "json"] | None, Parameter(group=_GROUP, negative=(), show_default=False)] = (
        None
    )
    """How the log is written."""

    drain_s: Annotated[float | None, Parameter(group=_GROUP, negative=(), show_default=False)] = None
    """How many seconds a stop waits for attempts under way."""

    def load(self) -> "Settings":
        """Merges flags, variables and file.

        Raises:
            Misconfigured: a name is unknown or a value does not fit.
            Failure: the named file is not there.
        """
        return _load({field.name: getattr(self, field.name) for field in fields(self)})


NO_FLAGS = SettingFlags()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DialectFlags:
    """Where dialects of the user's own are, for the commands that work without a server."""

    config: Annotated[Path | None, Parameter(group=_GROUP, negative=(), show_default=False)] = None
    """The file of settings; tocsin.toml here, where there is one."""

    profiles: _Text = None
    """A folder of dialects beside Tocsin's own, each a folder of its name (TOCSIN_PROFILES)."""

    def use(self) -> None:
        """From here on `tocsin.profiles` knows them.

        Raises:
            Misconfigured: a setting does not fit, or a dialect is broken.
            Failure: the named file is not there.
        """
        from tocsin import profiles

        profiles.also_from(_load({"config": self.config, "profiles": self.profiles}).profiles_folder())


OUR_DIALECTS = DialectFlags()


def _load(flags: dict[str, Any]) -> "Settings":
    from tocsin import config

    file: Path | None = flags.pop("config")
    if file is not None and not file.is_file():
        raise Failure(USAGE, f"--config {file}: there is no such file")
    return config.load(flags, os.environ, file or _DEFAULT_FILE)
