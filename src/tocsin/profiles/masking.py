r"""Takes the visitor out of IP addresses in an event's data, and leaves what a network is good for.

    192.168.14.7                the first two parts                     192.168.x.x
    2001:db8:85a3::8a2e:370     the first two groups, lower case        2001:db8:x:x:x:x:x:x
    ::ffff:192.168.14.7         an IPv4 address, and masked as one      ::ffff:192.168.x.x

Looked at are the members whose name ends, in any case, in one of these; a name that ends so by chance (``zip``,
``email_address``) holds no IP address, and what is none is left alone:

    ip, ips                     ip, client_ip, remoteIp, x-real-ip, visitorIPs
    ipv4, ipv6                  ipv4, visitor_ipv6
    addr, address, addresses    remote_addr, ip_address, ipAddresses
    forwarded_for               x_forwarded_for, X-Forwarded-For

Their value is a string, or an array of nothing but strings, and every address in it is masked, also where a port, a
prefix length or further addresses stand beside it. Members of all other names stay as they are: ``browser_version`` may
well be ``120.0.0.1``, and what an address means within a landing page's query nobody can tell.
"""

import ipaddress
import re

import orjson

# In stable, compact JSON a member's name is preceded by { or , and its quotes; within strings quotes are escaped. After
# a *closing* quote that such a character happens to precede, nothing can come that ends like these names. So what this
# finds are members, all of them, without parsing. Quantifiers are possessive where they can be: time is linear.
_TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_MEMBER = re.compile(
    rb'([{,]"[^"\\]*(?:ips?|ipv[46]|addr(?:ess(?:es)?)?|forwarded[_-]?for)":)'
    rb"(" + _TEXT + rb"|\[" + _TEXT + rb"(?:," + _TEXT + rb")*+\])",
    re.IGNORECASE,
)
_HINTS = (b'ip":', b'ips":', b"ipv", b"addr", b"forwarded")  # data with a member to look at have at least one of them

_WORD = re.compile(r"[^\s,;=/\[\]()\"']+")
_IPV4 = re.compile(r"([0-9]{1,3}\.[0-9]{1,3})\.[0-9]{1,3}\.[0-9]{1,3}(:[0-9]{1,5})?")
_LONGEST_IPV6 = 64  # 45 characters, and a zone


def mask_ips(data: bytes) -> bytes:
    """The same data with every address masked.

    Args:
        data: as `jsjson.stabilise` gives it; the result is as stable.
    """
    lower = data.lower()
    for hint in _HINTS:
        if hint in lower:
            return _MEMBER.sub(_masked_member, data)
    return data


def _masked_member(found: re.Match[bytes]) -> bytes:
    value = orjson.loads(found[2])
    masked = mask_text(value) if isinstance(value, str) else [mask_text(text) for text in value]
    return found[0] if masked == value else found[1] + orjson.dumps(masked)


def mask_text(text: str) -> str:
    """A text with the addresses in it masked, wherever they stand as words of their own."""
    return _WORD.sub(_masked_word, text)


def _masked_word(found: re.Match[str]) -> str:
    word = found[0]
    if match := _IPV4.fullmatch(word):
        parts = word.removesuffix(match[2] or "").split(".")
        return f"{match[1]}.x.x{match[2] or ''}" if all(int(part) <= 255 for part in parts) else word
    if word.count(":") < 2 or len(word) > _LONGEST_IPV6:
        return word
    try:
        address = ipaddress.IPv6Address(word)
    except ValueError:
        return word
    if address.ipv4_mapped is not None:
        return f"::ffff:{mask_text(str(address.ipv4_mapped))}"
    bits = int(address)
    return f"{bits >> 112:x}:{bits >> 96 & 0xFFFF:x}:x:x:x:x:x:x"
