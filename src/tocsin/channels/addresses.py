"""Addresses of chats over HTTP: refused with the form that they should have, shown without credentials."""

import hashlib
import re
from urllib.parse import SplitResult, urlsplit

from tocsin import USER_AGENT
from tocsin.errors import url_refused

# Chats answer in far less than one second; one that has not in ten is not well.
TIMEOUT_S = 10.0
HEADERS = (("Content-Type", "application/json"), ("User-Agent", USER_AGENT))
_PRINTABLE = re.compile(r"[!-~]+")


def split(url: str, form: str) -> SplitResult:
    """Takes an http or https address apart. Where it leads is the outbound guard's to judge, not done here.

    Args:
        form: how such an address looks, for the refusal.

    Raises:
        Invalid: `url_refused`.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise url_refused(f"this is no address; it should look like {form}") from None
    if parts.scheme not in {"https", "http"} or not parts.hostname or not _PRINTABLE.fullmatch(url):
        raise url_refused(f"this is no web address; it should look like {form}")
    if "@" in parts.netloc or "#" in url or "\\" in url:
        raise url_refused(f"an address holds no user, no fragment and no backslash; it should look like {form}")
    return parts


def key(service: str, *of: str) -> str:
    """Names whom a limit is of without telling a credential: 48 bits of a digest are enough to tell webhooks apart."""
    return f"{service}:{hashlib.sha256('/'.join(of).encode()).hexdigest()[:12]}"
