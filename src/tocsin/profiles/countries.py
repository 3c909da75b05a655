"""Countries by their code and by their name. CLDR's, by Babel: some 70 ms and 9 MB when the first name is asked for."""

from functools import cache, lru_cache

# Codes that many write, though ISO 3166-1 gives the countries others (it reserves both for that reason).
_ALIASES = {"UK": "GB", "EL": "GR"}
_LONGEST = 64  # no country's English name is longer


@cache
def _names() -> dict[str, str]:
    from babel import Locale  # noqa: PLC0415 - a server without activity does without

    return {code: str(name) for code, name in Locale("en").territories.items() if len(code) == 2 and code.isalpha()}


@cache
def _codes() -> dict[str, str]:
    return {name.casefold(): code for code, name in _names().items()}


def code(text: str) -> str:
    """Capitals, and GB for UK."""
    upper = text.upper()
    return _ALIASES.get(upper, upper)


@lru_cache(maxsize=1_024)
def country_name(alpha_2: str) -> str | None:
    """In English; None where there is no such country."""
    return _names().get(alpha_2)


def code_of(text: str) -> str | None:
    """Of a code in any case, or of a country's English name; None where it is neither."""
    text = text.strip()
    if len(text) == 2:
        found = code(text)
        return found if found in _names() else None
    return _codes().get(text.casefold()) if len(text) <= _LONGEST else None
