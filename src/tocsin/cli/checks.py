"""What `doctor` looks at: each check sees one thing, changes nothing, and says how to mend what it finds."""

import asyncio
import ctypes
import errno
import resource
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

import certifi
import httpx
import msgspec

from tocsin import ids, installation, profiles
from tocsin.cli import check_database
from tocsin.cli.findings import FAIL, OK, WARN, Finding
from tocsin.config import Settings
from tocsin.engine.mail.server import MailServer, MailTrouble
from tocsin.engine.sending.resolver import ResolveFailed, Resolver
from tocsin.errors import Misconfigured

# Variables that are no settings of the server: the command line's, and the drills'.
_OTHER_VARIABLES = frozenset(
    {"TOCSIN_ACCOUNT", "TOCSIN_FAILPOINT", "TOCSIN_KEY", "TOCSIN_URL", "TOCSIN_WEBHOOK_SECRET"}
)
_FEW_FILES = 4_096  # a server under load has a thousand connections to receivers and as many from publishers
_ADJTIMEX_ERROR = 5  # adjtimex(2): TIME_ERROR, the clock is not synchronised
_TIMEX_BYTES = 512  # struct timex has 208; its first field, the modes, stays 0: nothing is changed
_A_NAME = "example.com"  # reserved for such uses (RFC 2606), and resolvable wherever the world is


def look(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """All checks, one after the other."""
    yield from _settings(settings, environ)
    yield _dialects(settings)
    yield from check_database.look(settings)
    yield _clock()
    yield _names(settings)
    yield from _guard(settings)
    yield _port(settings)
    yield _trust_anchors(settings)
    yield _mail(settings)
    yield _open_files()


def _settings(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    known = {f"TOCSIN_{field.name.upper()}" for field in msgspec.structs.fields(Settings)} | _OTHER_VARIABLES
    unknown = sorted(name for name in environ if name.startswith("TOCSIN_") and name not in known)
    for name in unknown:
        near = get_close_matches(name, known, n=1)
        yield Finding(WARN, "settings", f"{name} is no setting", f"did you mean {near[0]}?" if near else "unset it")
    if settings.retry_scale != 1:
        yield Finding(
            WARN,
            "settings",
            f"TOCSIN_RETRY_SCALE={settings.retry_scale:g}: retries do not follow the schedules",
            "unset it in production",
        )
    if settings.cue_trust_user_id:
        yield Finding(
            WARN,
            "settings",
            f"TOCSIN_CUE_TRUST_USER_ID: what connects from {settings.trusted_proxies} can be any account of cue",
            "make sure that only your gateway is in there",
        )
    if not unknown and settings.retry_scale == 1 and not settings.cue_trust_user_id:
        yield Finding(OK, "settings", "understood")


def _dialects(settings: Settings) -> Finding:
    try:
        profiles.also_from(settings.profiles_folder())
    except Misconfigured as error:
        profiles.also_from(None)
        return Finding(FAIL, "profiles", error.detail, "mend that file, or TOCSIN_PROFILES")
    return Finding(OK, "profiles", ", ".join(profiles.names()))


def _clock() -> Finding:
    now_ms = time.time_ns() // 1_000_000
    years_of_ids = (ids.EPOCH_MS, ids.EPOCH_MS + (1 << 41))
    if not years_of_ids[0] < now_ms < years_of_ids[1]:
        return Finding(FAIL, "clock", f"it says {time.strftime('%Y-%m-%d')}", "set the system's time")
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return Finding(OK, "clock", f"it says {time.strftime('%Y-%m-%d %H:%M:%S %Z')}")
    if state == _ADJTIMEX_ERROR:
        return Finding(
            WARN,
            "clock",
            "the system does not keep it synchronised; receivers refuse signatures that are five minutes off",
            "run an NTP client, such as chrony or systemd-timesyncd",
        )
    return Finding(OK, "clock", "synchronised")


def _names(settings: Settings) -> Finding:
    servers = [one.strip() for one in settings.dns_servers.split(",") if one.strip()]
    whose = ", ".join(servers) or "the system's name servers"

    async def resolve() -> None:
        resolver = Resolver(servers or None)
        try:
            await resolver.resolve(_A_NAME)
        finally:
            await resolver.close()

    try:
        asyncio.run(resolve())
    except ResolveFailed as error:
        return Finding(
            WARN,
            "names",
            f"{_A_NAME} cannot be resolved through {whose}: {error.reason}",
            "check the network, or give TOCSIN_DNS_SERVERS",
        )
    return Finding(OK, "names", f"resolved through {whose}")


def _guard(settings: Settings) -> Iterator[Finding]:
    networks = settings.networks()
    everything = [str(network) for network in networks if network.prefixlen == 0]
    if everything:
        yield Finding(
            FAIL,
            "outbound guard",
            f"TOCSIN_ALLOW_NETWORKS={everything[0]} lets everything through, also this machine's own services",
            "name only the networks that your receivers are in",
        )
    elif networks:
        shown = ", ".join(map(str, networks))
        yield Finding(WARN, "outbound guard", f"lets through {shown}", "make sure that only receivers are in there")
    if settings.allow_http:
        yield Finding(
            WARN, "outbound guard", "plain-http addresses are taken: bodies travel readable", "unset TOCSIN_ALLOW_HTTP"
        )
    if not networks and not settings.allow_http:
        yield Finding(OK, "outbound guard", "public https addresses only")


def _port(settings: Settings) -> Finding:
    where = f"{settings.host}, port {settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except (OSError, OverflowError) as error:
        if getattr(error, "errno", None) != errno.EADDRINUSE:
            return Finding(FAIL, "port", f"nobody can listen at {where}: {error}", "change TOCSIN_HOST or TOCSIN_PORT")
    else:
        return Finding(OK, "port", f"{where} is free")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    address = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
    try:
        ready = httpx.get(f"{address}/readyz", timeout=3, trust_env=False)
        role = str(httpx.get(f"{address}/healthz", timeout=3, trust_env=False).json()["role"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        role = None
    if role is None:
        return Finding(FAIL, "port", f"{where} is taken by another program", "stop it, or change TOCSIN_PORT")
    if ready.status_code != 200:
        return Finding(FAIL, "port", f"the Tocsin at {where} is not ready: {ready.text[:200]}", "look at its log")
    return Finding(OK, "port", f"a Tocsin (role {role}) serves {where}, and is ready")


def _trust_anchors(settings: Settings) -> Finding:
    file = settings.ca_file or certifi.where()
    try:
        known = ssl.create_default_context(cafile=file).cert_store_stats()["x509_ca"]
    except (OSError, ssl.SSLError) as error:
        return Finding(FAIL, "trust anchors", f"{file} cannot be read: {error}", "give a PEM file in TOCSIN_CA_FILE")
    if not known:
        return Finding(FAIL, "trust anchors", f"{file} holds no authority", "give a PEM file in TOCSIN_CA_FILE")
    return Finding(OK, "trust anchors", f"{known} in {file}")


def _mail(settings: Settings) -> Finding:
    async def speak(server: MailServer) -> str:
        connection = await server.connect()
        await connection.quit()
        return connection.how

    try:
        server = installation.mail_server(settings)
        if server is None:
            return Finding(
                WARN,
                "e-mail",
                "nobody is told by mail when a webhook is disabled",
                "give TOCSIN_SMTP_URL to change that",
            )
        return Finding(OK, "e-mail", f"{server.host}, port {server.port}, answers {asyncio.run(speak(server))}")
    except Misconfigured as error:
        return Finding(FAIL, "e-mail", error.detail)
    except MailTrouble as error:
        return Finding(FAIL, "e-mail", str(error), "change TOCSIN_SMTP_URL, or mend the mail server")


def _open_files() -> Finding:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _FEW_FILES:
        return Finding(WARN, "open files", f"{hard} at most", f"allow {_FEW_FILES} or more: ulimit -Hn, LimitNOFILE=")
    return Finding(OK, "open files", "as many as needed" if hard == resource.RLIM_INFINITY else f"{hard} at most")
