"""Names of countries, for people. CLDR's, by Babel: some 70 ms and 9 MB when the first one is asked for."""

from functools import cache, lru_cache

# Codes that many write, though ISO 3166-1 gives the countries others (it reserves both for that reason).
_ALIASES = {"UK": "GB", "EL": "GR"}


@cache
def _names() -> dict[str, str]:
    from babel import Locale  # noqa: PLC0415 - a server without activity does without

    return {code: str(name) for code, name in Locale("en").territories.items() if len(code) == 2 and code.isalpha()}


def code(text: str) -> str:
    """Capitals, and GB for UK."""
    upper = text.upper()
    return _ALIASES.get(upper, upper)


@lru_cache(maxsize=1_024)
def country_name(alpha_2: str) -> str | None:
    """In English; None where there is no such country."""
    return _names().get(alpha_2)
