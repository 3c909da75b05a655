"""Headers that users add to their webhooks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.errors import Invalid
from tocsin.security.headers import MAX_HEADERS, check_custom_headers

OWN = frozenset({"x-clickdefender-signature"})


def why_refused(headers: dict[str, str]) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        check_custom_headers(headers, OWN)
    assert refused.value.code == "header_refused"
    return {fault.pointer: fault.detail for fault in refused.value.faults}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", "Bearer abc.def=="),
        ("X-Api-Key", "k"),
        ("x_custom.name", "a b\tc"),
        ("!#$%&'*+-.^_`|~09AZ", "~!"),
        ("Contents", "not Content-*"),
        ("X-Host", "example.com"),
        ("Cookies", "1"),
        ("Webhooks", "1"),
    ],
)
def test_good_headers_pass(name: str, value: str) -> None:
    """Any token is a name but for those of the protocol, and printable ASCII a value."""
    check_custom_headers({name: value}, OWN)


@pytest.mark.parametrize(
    "name",
    [
        "Host", "HOST", "Content-Type", "content-length", "Content-Encoding", "Transfer-Encoding", "Connection",
        "Keep-Alive", "TE", "Trailer", "Upgrade", "Expect", "Cookie", "Proxy-Authorization", "Proxy-Connection",
        "Webhook-Id", "webhook-signature", "Tocsin-Test", "X-ClickDefender-Signature",
    ],
)  # fmt: skip
def test_the_protocols_own_names_are_refused(name: str) -> None:
    """Headers of the connection, of the signature and of the dialect cannot be set, in any case of letters."""
    assert "choose another name" in why_refused({name: "x"})[f"/headers/{name}"]


@pytest.mark.parametrize("name", ["", " ", "a b", "a:", "a\r\nb", "ü", "a\u0000", "(a)", "a,b", '"a"', "a{b}"])
def test_a_name_is_a_token(name: str) -> None:
    """Whatever is no token of RFC 9110 is no name."""
    assert why_refused({name: "x"})


@pytest.mark.parametrize(
    "value", ["", " ", " a", "a ", "\ta", "a\r\nHost: b", "a\nb", "a\u0000", "ü", "\u007f", "a\u000bb"]
)
def test_a_value_is_printable_ascii(value: str) -> None:
    """No line breaks, no blanks around it, nothing that servers read in two ways, and never empty."""
    assert "printable ASCII" in why_refused({"X-A": value})["/headers/X-A"]


def test_sizes_are_bounded() -> None:
    """At most 20 headers, values of 4096 characters, and 8192 characters in all."""
    check_custom_headers({f"X-{n}": "v" for n in range(MAX_HEADERS)}, OWN)
    assert "at most 20" in why_refused({f"X-{n}": "v" for n in range(MAX_HEADERS + 1)})["/headers"]
    check_custom_headers({"X-A": "v" * 4096}, OWN)
    assert "4096" in why_refused({"X-A": "v" * 4097})["/headers/X-A"]
    assert "8192" in why_refused({f"X-{n}": "v" * 2048 for n in range(4)})["/headers"]
    assert why_refused({"x" * 257: "v"})


def test_the_same_name_twice_is_refused() -> None:
    """Names that differ only in the case of letters are one name."""
    assert "twice" in why_refused({"X-A": "1", "x-a": "2"})["/headers/x-a"]


def test_pointers_are_escaped() -> None:
    """A name with a slash or a tilde is pointed at as RFC 6901 writes it."""
    assert list(why_refused({"a/b~": "x"})) == ["/headers/a~1b~0"]


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=25))
def test_any_headers_pass_or_are_refused(headers: dict[str, str]) -> None:
    """Nothing but the refusal is raised, and what passes can be put on a line as it is."""
    try:
        check_custom_headers(headers, OWN)
    except Invalid:
        return
    for name, value in headers.items():
        line = f"{name}: {value}"
        assert line.isascii()
        assert line.isprintable() or "\t" in line
