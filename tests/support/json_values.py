"""JSON that publishers send and that JavaScript spells in its own way, for property tests."""

from typing import Any

from hypothesis import strategies as st

from tocsin.profiles.jsfaults import MAX_SAFE_INTEGER


def _kept(number: float) -> bool:
    return not MAX_SAFE_INTEGER < abs(number) < 1e21


texts = st.text(st.characters(exclude_categories=["Cs"]))
keys = st.one_of(
    texts,
    st.integers(0, 2**33).map(str),  # array indices, and what only looks like one
    st.sampled_from(
        ["__proto__", "constructor", "", "-1", "01", "1.5", "1e3", "4294967294", "4294967295", "٣", ":", "0x1"]
    ),
)
integers = st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)
floats = st.floats(allow_nan=False, allow_infinity=False).filter(_kept)
numbers = st.one_of(
    integers,
    floats,
    st.floats(1e-8, 1e-4),  # where the forms part
    st.floats(1e21, 1e23),
    st.integers(-1000, 1000).map(float),
    st.sampled_from([0.0, -0.0, 5e-324, 2.2250738585072014e-308, 1e-6, 1e-7, 1e21, 1.5e300, 0.1 + 0.2, 123456789.125]),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(keys, inner, max_size=6)),
    max_leaves=25,
)
styles: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(  # of json.dumps
    {
        "ensure_ascii": st.booleans(),
        "indent": st.sampled_from([None, 0, 2, "\t"]),
        "separators": st.sampled_from([(",", ":"), (", ", ": "), (" ,\r\n", "\t:")]),
    }
)
