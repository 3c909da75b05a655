"""One e-mail address, as mail servers take it, and as a webhook's address holds it: ``mailto:ops@example.com``."""

from urllib.parse import quote, unquote

SCHEME = "mailto:"
_MAX_ADDRESS = 254  # RFC 5321 §4.5.3.1.3: a path of 256, with its angle brackets
_MAX_LOCAL = 64  # §4.5.3.1.1

# Quoted names, comments, groups, lists: what RFC 5322 allows and nobody has.
_REFUSED = frozenset('<>"(),;\\')
# Literals such as [127.0.0.1], ports, paths: no names of mail domains.
_REFUSED_IN_DOMAIN = frozenset("[]:/%?#&=*+!$'`|{}^~")
# What may stand in a mailto: address as it is (RFC 6068 §2); beyond ASCII all does, since people read it.
_AS_IS = "!$'*+-.^_`{|}~="


def on_the_wire(address: str) -> str:
    """An address as mail servers know it: the domain in ASCII (IDNA). Raises `ValueError` where it is none, or where
    it holds what could be taken for more than an address.
    """
    local, _, domain = address.rpartition("@")
    if not domain.isascii():
        domain = domain.encode("idna").decode()
    found = f"{local}@{domain}"
    if (
        not (local and domain)
        or "@" in local
        or "=?" in found  # an encoded word: headers would decode it
        or any(c in _REFUSED or c.isspace() or not c.isprintable() for c in found)
    ):
        raise ValueError("no address")
    return found


def read_mailto(url: str) -> str:
    """The one address in a ``mailto:`` address, as mail servers know it.

    Raises:
        ValueError: with the reason.
    """
    if url[: len(SCHEME)].lower() != SCHEME:
        raise ValueError("it does not begin with mailto:")
    rest = url[len(SCHEME) :]
    if "?" in rest or "#" in rest:
        raise ValueError("a subject, copies and other headers cannot be given")
    try:
        address = on_the_wire(unquote(rest, errors="strict"))
    except ValueError:
        raise ValueError("what follows mailto: is not one plain e-mail address") from None
    local, _, domain = address.rpartition("@")
    domain = domain.lower()
    if any(not label or label[0] == "-" or label[-1] == "-" for label in domain.split(".")) or any(
        c in _REFUSED_IN_DOMAIN for c in domain
    ):
        raise ValueError("what follows the @ is no name of a mail domain")
    if len(local.encode()) > _MAX_LOCAL or len(local.encode()) + len(domain) >= _MAX_ADDRESS:
        raise ValueError("the address is too long")
    return f"{local}@{domain}"


def write_mailto(address: str) -> str:
    """The reverse, for an address that `read_mailto` gave."""
    local, _, domain = address.rpartition("@")
    return f"{SCHEME}{''.join(quote(c, safe=_AS_IS) if c.isascii() else c for c in local)}@{domain}"
