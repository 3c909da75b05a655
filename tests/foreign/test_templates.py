"""Templates that users write to do harm: none ends the process, fills the memory, or takes long."""

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin import profiles
from tocsin.channels import template_engine, template_text, templates
from tocsin.channels.compose import compose
from tocsin.channels.occasion import Occasion
from tocsin.channels.options import ChatOptions, Template
from tocsin.channels.template_engine import MAX_OUTPUT, Failed
from tocsin.channels.template_text import FILTERS, TESTS, Wrong
from tocsin.clock import Millis

LONG = "x" * 600
DATA = {
    "campaign": {"name": "**b** [x](https://evil.example) `" + LONG, "id": "{{ 7 }}"},
    "payout": "45.00",
    "currency": "EUR",
    "lists": [[[LONG] * 50] * 50] * 50,
    "members": {str(number): LONG for number in range(1_000)},
    "zero": 0,
}
EVENT = Occasion(
    event_id="evt_1",
    type="conversion.created",
    timestamp=Millis(0),
    data=DATA,
    profile=profiles.load("standard"),
    account_name="Acme",
)


def made(source):
    """What comes of it: a text, or why not."""
    try:
        names = template_text.read(source).lines
        return template_engine.render(source, templates.values_of(EVENT, names, "en_US", title="T"), "en_US")
    except (Wrong, Failed) as error:
        return error


# Each of these ends the process, or takes gigabytes or minutes, where MiniJinja alone runs it, with fuel.
DEADLY = [
    '{{ "a" * 10000000 }}',
    '{{ ["a"] * 100000000 }}',
    "{{ range(100000)|list }}",
    '{{ "%1000000000s"|format("a") }}',
    "{{ campaign|indent(1000000000) }}",
    "{{ lists|batch(1000000000, 'x') }}",
    "{{ lists|slice(1000000000) }}",
    "{{ lists|tojson(indent=1000000000) }}",
    "{% set a = namespace(x='ab') %}{% for i in range(40) %}{% set a.x = a.x ~ a.x %}{% endfor %}",
    "".join(f"{{% set a{n + 1} = a{n} ~ a{n} %}}" for n in range(60)),
    "{% with b = campaign ~ campaign %}" * 60,
    "{% for b in [campaign ~ campaign] %}" * 60,
    "{% macro a(n) %}{{ a(n + 1) }}{% endmacro %}{{ a(1) }}",
    "{{ " + "-" * 4_000 + "1 }}",
    "{{ " + "not " * 1_000 + "1 }}",
    "{{ " + "(" * 2_000 + "1" + ")" * 2_000 + " }}",
    "{{ " + "[" * 2_000 + "]" * 2_000 + " }}",
    "{{ a" + ".b" * 2_000 + " }}",
    "{{ a" + "|upper" * 600 + " }}",
    "{% if a %}" * 350,
    "{{ 9" + "9" * 4_000 + " }}",
    "{{ 2 ** 1000000 }}",
]


@pytest.mark.parametrize("source", DEADLY, ids=range(len(DEADLY)))
def test_what_would_end_the_process_is_refused_unread(source):
    """By its form alone: MiniJinja never sees it."""
    assert isinstance(made(source), Wrong)


EXPENSIVE = [
    "{% for x in data.lists %}{% for y in x %}{% for z in y %}{{ z|upper }}{% endfor %}{% endfor %}{% endfor %}",
    "{% for x in data.members %}{% for y in data.members %}{{ at|time }}{% endfor %}{% endfor %}",
    "{% for x in campaign %}{% for y in campaign %}{{ x }}{{ y }}{% endfor %}{% endfor %}",
    "{% for x in data.lists %}" + LONG * 6 + "{% endfor %}",
    "{{ campaign" + "|replace('x', campaign)" * 12 + " }}",
    "{{ data.lists|join(campaign)|join(campaign)|join(campaign) }}" * 30,
    "{{ [" + ",".join(["data.lists"] * 20) + "] }}" + "{{ data.lists }}" * 150,
    "{{ payout" + "|times(99999999999999)" * 18 + " }}",
    "{{ 99999999999999|times(99999999999999)|money }}{{ 0.000000001|times(0.000000001)|number }}",
    "{{ '" + "€" * 3_900 + "'|upper|lower|title }}",
    "{{ '" + "e\u0301" * 1_900 + "'|truncate(99999) }}",
    "{{ data }}{{ data.members }}{{ data.lists[19][19] }}",
    "{{ at|time|time|date|money|country|number|percent|readable|round(9)|truncate(0 - 5) }}" * 20,
]


@pytest.mark.parametrize("source", EXPENSIVE, ids=range(len(EXPENSIVE)))
def test_what_is_expensive_is_cut_off(source):
    """It makes at most what a chat could show, or fails; memory stays where it was."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = made(source)
    assert not isinstance(found, Wrong), found
    assert isinstance(found, Failed) or len(found) <= MAX_OUTPUT
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB


@pytest.mark.parametrize(
    "source",
    [
        "{{ campaign.__class__.__mro__ }}",
        "{{ data.__init__ }}",
        "{{ data['__class__'] }}",
        "{{ self }}",
        "{{ data._private }}",
        "{{ loop }}",
        "{{ data.items.append }}{{ data.pop }}{{ campaign.format }}{{ at.real }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% extends 'x' %}",
        "{{ debug() }}",
        "{{ '{}'.format }}",
    ],
)
def test_nothing_of_the_program_can_be_reached(source):
    """Only what was published: no attributes of Python's, no files, no functions."""
    found = made(source)
    assert isinstance(found, Wrong | Failed) or found == ""


# As MiniJinja 3 and Jinja list them.
THEIRS = (
    *("abs", "attr", "batch", "bool", "center", "chain", "count", "d", "dictsort", "e", "escape"),
    *("filesizeformat", "float", "forceescape", "format", "groupby", "indent", "int", "items", "lines"),
    *("list", "map", "max", "min", "pprint", "random", "reject", "rejectattr", "reverse", "safe", "select"),
    *("selectattr", "slice", "sort", "split", "string", "striptags", "sum", "tojson", "unique", "urlencode"),
    *("urlize", "wordcount", "wordwrap", "xmlattr", "zip", "filesize", "pluralize", "dateformat"),
    *("datetimeformat", "timeformat", "randrange", "lipsum", "cycler", "joiner"),
)


@pytest.mark.parametrize("name", THEIRS)
def test_filters_that_are_not_ours_are_not_there(name):
    """Not even where the form lets one through: the engine does not have it."""
    assert name not in FILTERS
    with pytest.raises(Failed, match="unknown"):
        template_engine.render(f"{{{{ 'a'|{name} }}}}", {}, "en_US")


@pytest.mark.parametrize("name", ["range", "dict", "debug", "namespace", "cycler", "joiner", "lipsum"])
def test_functions_are_not_there(name):
    """Not even where the form lets a call through."""
    with pytest.raises(Failed, match="unknown"):
        template_engine.render(f"{{{{ {name}() }}}}", {}, "en_US")


def test_a_value_is_no_template():
    """What an event holds is never read as one."""
    assert made("{{ campaign_id }}") == "{{ 7 }}"


names = st.sampled_from(["campaign", "payout", "data", "data.lists", "data.members", "text", "at", "country", "x", "y"])
literals = st.sampled_from(["'a'", "''", "3.5", "0", "99999999", "true", "none", "'2026-01-01T00:00:00Z'", "[]"])


def grown(inner):
    two = st.tuples(inner, inner)
    filtered = st.tuples(inner, st.sampled_from(sorted(FILTERS)), st.lists(inner, max_size=2))
    return st.one_of(
        st.tuples(two, st.sampled_from(["-", "/", "<", "==", "in", "and", "or"])).map(
            lambda given: f"{given[0][0]} {given[1]} {given[0][1]}"
        ),
        filtered.map(lambda given: f"{given[0]}|{given[1]}" + (f"({','.join(given[2])})" if given[2] else "")),
        inner.map(lambda one: f"({one})"),
        st.lists(inner, max_size=3).map(lambda several: f"[{','.join(several)}]"),
        st.tuples(inner, st.sampled_from(TESTS)).map(lambda given: f"{given[0]} is {given[1]}"),
        st.tuples(inner, inner, inner).map(lambda given: f"{given[0]} if {given[1]} else {given[2]}"),
    )


expressions = st.recursive(names | literals, grown, max_leaves=8)
blocks = st.recursive(
    expressions.map(lambda one: f"{{{{ {one} }}}}") | st.sampled_from(["**", "`", "[a](", ")", LONG]),
    lambda inner: st.one_of(
        st.tuples(expressions, inner, inner).map("{{% if {0[0]} %}}{0[1]}{{% else %}}{0[2]}{{% endif %}}".format),
        st.tuples(names, inner).map("{{% for x in {0[0]} %}}{0[1]}{{% endfor %}}".format),
        st.lists(inner, max_size=4).map("".join),
    ),
    max_leaves=12,
)


@given(blocks)
def test_any_template_makes_a_message(source):
    """The template's, or the standard one with a word in its footer; nothing else ever comes out."""
    for part in ("text", "title"):
        message = compose(EVENT, ChatOptions(templates={"*": Template(**{part: source})}), "telegram")
        assert message.title
        assert sum(len(span.text) for span in message.text) <= MAX_OUTPUT


@given(st.text(max_size=80) | st.text("{}%#-'\"|.,()[]<>=! \nabifor_09~*+", max_size=80))
def test_any_text_is_a_template_or_is_refused(source):
    """With a line, and without another error; what the reader lets through, the engine can read or says why not."""
    given_ = {"*": Template(text=source)}
    for fault in templates.check(given_, EVENT.profile, {}, takes=lambda *_: True, locale="en_US"):
        assert fault.detail.startswith("line ")
    compose(EVENT, ChatOptions(templates=given_), "slack")
