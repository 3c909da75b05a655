"""Names out of programs, for people: ``datacenter_ip`` is a Datacenter IP."""

import re

_LONGEST = 200  # what is longer is no name, and stays as it is

# Written so by everybody.
_SPELLED = {
    word.lower(): word
    for word in (
        *("ID", "IDs", "IP", "IPs", "ASN", "CPA", "CPC", "CPM", "CTR", "EPC", "GPU", "ISP", "KPI", "OS", "PPC", "ROI"),
        *("RTB", "SDK", "SEO", "SMS", "TV", "UID", "URL", "UTM", "VAT", "VIP", "VPN", "VPS", "iOS", "iPadOS", "macOS"),
        *("AI", "API", "CSS", "DNS", "EU", "HTML", "HTTP", "IPsum", "JS", "JSON", "SQL", "SSL", "TLS", "UA", "UK"),
    )
}
_BREAKS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[_\-.]+")
_NAME = re.compile(r"[A-Za-z0-9_.\-]+")
_ACRONYM = 4  # letters; a longer word in capitals is shouted


def readable(name: str) -> str:
    """In title case: words are parted at ``_ - .`` and where small letters meet capitals. A text that is no such name
    was written for people, and only begins with a capital.
    """
    if len(name) > _LONGEST or _NAME.fullmatch(name) is None:
        return _capital(name)
    words = [word for word in _BREAKS.split(name) if word]
    shouted = name.isupper() and (len(words) > 1 or len(name) > _ACRONYM)
    return " ".join(_word(word, shouted=shouted) for word in words) or name


def _word(word: str, *, shouted: bool) -> str:
    return _SPELLED.get(word.lower()) or (word.capitalize() if shouted else _capital(word))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
