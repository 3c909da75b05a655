"""Templates of users: what they can say, what is refused when they are saved, what happens when they fail."""

from decimal import Decimal

import pytest

from tocsin import profiles
from tocsin.channels import template_engine, templates
from tocsin.channels.compose import compose
from tocsin.channels.message import SpanKind
from tocsin.channels.occasion import Occasion
from tocsin.channels.options import ChatOptions, Template
from tocsin.channels.template_text import FILTERS, TESTS
from tocsin.clock import parse_rfc3339
from tocsin.engine.directory import takes
from tocsin.model import EventType

STANDARD = profiles.load("standard")
TYPES = {name: entry.event_type for name, entry in STANDARD.catalogue.items()}
CONVERSION = {
    "conversion_id": "cnv_1",
    "campaign": {"id": "c1", "name": "Summer *Sale* [x](https://evil.example)"},
    "payout": "45.00",
    "currency": "EUR",
    "visitor": {"country": "DE"},
    "items": ["a", "b"],
}
FRAUD = {
    "score": 93,
    "label": "FRAUD",
    "reasons": [{"rule": "vpn_detected"}, {"rule": "datacenter_ip"}],
    "campaign": {"name": "C"},
}


def occasion(data=CONVERSION, type="conversion.created", **more):
    return Occasion(
        **{
            "event_id": "evt_1",
            "type": type,
            "timestamp": parse_rfc3339("2026-03-14T09:26:53Z"),
            "data": data,
            "profile": STANDARD,
            "account_name": "Acme",
        }
        | more
    )


def composed(template, of=None, pattern="*", locale="en_US"):
    options = ChatOptions(templates={pattern: Template(**template)}, locale=locale)
    return compose(of or occasion(), options, "slack")


def text_of(source, of=None, **more):
    message = composed({"text": source}, of, **more)
    assert "template" not in message.footer, message.footer
    return "".join(span.text for span in message.text)


def faults(source, pattern="conversion.created", part="text"):
    found = templates.check(
        {pattern: Template(**{part: source})},
        STANDARD,
        TYPES,
        takes=lambda pattern, name: takes((pattern,), name),
        locale="en_US",
    )
    return [(fault.pointer, fault.detail) for fault in found]


# --- what they say --------------------------------------------------------------------------------------------------


def test_a_template_takes_the_place_of_the_lines():
    """Marks are the author's; a value's are text. Title, colour, link and footer stay."""
    message = composed(
        {"text": "**{{ campaign }}** sold: `{{ payout|money }}`\n[see](https://x.example/{{ event_id }})"}
    )
    standard = compose(occasion(), ChatOptions(), "slack")
    assert [(span.kind, span.text, span.url) for span in message.text] == [
        (SpanKind.BOLD, "Summer *Sale* [x](https://evil.example)", ""),
        (SpanKind.TEXT, " sold: ", ""),
        (SpanKind.CODE, "€45.00", ""),
        (SpanKind.TEXT, "\n", ""),
        (SpanKind.LINK, "see", "https://x.example/evt_1"),
    ]
    assert (message.lines, message.sections) == ((), ())
    assert (message.title, message.tone, message.footer) == (standard.title, standard.tone, standard.footer)


def test_a_title_is_one_plain_line():
    """Of a message whose lines stay as they are."""
    message = composed({"title": "**Sold** in\n{{ country|country }}: {{ title }}"})
    standard = compose(occasion(), ChatOptions(), "slack")
    assert message.title == f"Sold in Germany: {standard.title}"
    assert message.lines == standard.lines
    assert composed({"title": "{{ sub1 }}"}).title == standard.title


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ payout }} {{ payout / 2 }} {{ payout - 1 }}", "45 22.5 44"),
        ("{{ payout|plus(1)|times(2)|round(1) }}", "92"),
        ("{{ payout|money }} {{ payout|money('USD') }} {{ 3|money('XXL') }}", "€45.00 $45.00 3.00 XXL"),
        ("{{ 1234.5|number }} {{ 2.5|percent }} {{ 'x'|number }}", "1,234.5 2.5% x"),
        ("{{ country }} {{ country|country }} {{ 'Nowhere'|country }}", "DE Germany Nowhere"),
        ("{{ at }}", "2026-03-14T09:26:53Z"),
        ("{{ at|date }}; {{ at|time }}", "Mar 14, 2026; Mar 14, 2026, 9:26 AM UTC"),
        ("{{ text.payout }} {{ text.country }}", "€45.00 Germany"),
        ("{{ type }} {{ account }} {{ event_id }}", "conversion.created Acme evt_1"),
        ("{{ data.items }} {{ data.items[1] }} {{ data.items|length }}", "a, b b 2"),
        ("{{ data.keys }}{{ data.items.append }}{{ campaign.upper }}{{ data.visitor.get }}{{ text.pop }}", ""),
        ("{{ sub1 }}{{ data.no.such.thing }}{{ sub1|default('none') }}", "none"),
        (
            "{% for item in data.items %}{{ loop.index }}={{ item }}{% if not loop.last %}; {% endif %}{% endfor %}",
            "1=a; 2=b",
        ),
        ("{% if payout > 40 and country == 'DE' %}big{% elif true %}x{% else %}small{% endif %}", "big"),
        ("{{ 'yes' if country in ['DE', 'AT'] else 'no' }}", "yes"),
        ("{{ 'yes' if sub1 is not defined else 'no' }}", "yes"),
        ("{# nothing {{ #}a{{- ' b' -}}  c", "a bc"),
        ("{% if true %}\nline\n{% endif %}\nnext", "line\nnext"),
        ("{{ 'vpn_detected'|readable }} {{ 'aBc'|upper|lower|capitalize }} {{ 'a b'|title }}", "VPN Detected Abc A B"),
        ("{{ ' x '|trim }}{{ 'abcdef'|truncate(4) }}{{ 'a-b'|replace('-', '+') }}", "xabc…a+b"),
        ("{{ data.items|first }}{{ data.items|last }}{{ data.items|join('/') }}", "aba/b"),
        ("{{ true }} {{ none }}|{{ data }}|", "Yes ||"),
    ],
)
def test_what_can_be_said(source, said):
    """Details as values, filters, conditions, loops."""
    assert text_of(source) == said
    assert faults(source) == []


def test_values_are_written_in_the_webhooks_locale():
    """Amounts, countries and days."""
    said = text_of("{{ payout|money }} {{ country|country }} {{ at|date }} {{ 1234.5|number }}", locale="de_DE")
    assert said.replace("\xa0", " ") == "45,00 € Deutschland 14.03.2026 1.234,5"


def test_lists_of_details():
    """Words as they came, rankings as pairs."""
    fraud = occasion(FRAUD, "fraud.detected")
    assert text_of("{% for r in reasons %}[{{ r|readable }}]{% endfor %}", fraud) == "[VPN Detected][Datacenter IP]"
    summary = occasion(
        {"summary": {"topRules": [{"rule": "vpn", "count": 3}]}},
        "daily_summary",
        profile=profiles.load("clickdefender"),
    )
    names = summary.profile.messages.details("daily_summary", summary.data)
    assert "top_rules" in names
    assert text_of("{% for rule, count in top_rules %}{{ rule }}: {{ count }}{% endfor %}", summary) == "vpn: 3"


def test_an_own_event_type_has_its_data():
    """Which has no details that the profile would know."""
    assert text_of("{{ data.who }}", occasion({"who": "me"}, "own.type")) == "me"


def test_the_narrowest_pattern_counts():
    """The type itself, then its family, then all."""
    several = {name: Template(text=name) for name in ("*", "conversion.*", "conversion.created", "conv.*")}

    def said(type):
        [span] = compose(occasion(type=type), ChatOptions(templates=several), "slack").text
        return span.text

    assert said("conversion.created") == "conversion.created"
    assert said("conversion.approved") == "conversion.*"
    assert said("click.created") == "*"
    del several["*"]
    assert compose(occasion(type="click.created"), ChatOptions(templates=several), "slack").text == ()


def test_decimals_are_numbers_for_comparing():
    """Whole ones as whole numbers."""
    assert template_engine.plain(Decimal("45.00")) == 45
    assert template_engine.plain((Decimal("0.5"), {"a": None})) == [0.5, {"a": None}]


# --- when they are saved --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("\n{{ campain }}", "line 2: no detail is called campain: did you mean 'campaign'?"),
        ("{{ qqqqqqq }}", "details have names such as"),
        ("{{ payout|mony }}", "line 1: there is no filter mony: did you mean 'money'?"),
        ("{{ payout|safe }}", "there is no filter safe"),
        ("{{ payout is odd }}", "there is no test odd"),
        ("a\n{{ payout", "line 2: what was opened here is not closed by }}"),
        ("{{ payout %}", "closes with }}"),
        ("{% if payout }}", "closes with %}"),
        ("{% if payout %}", "{% if %} is closed by {% endif %}"),
        ("{% if %}{% endif %}", "if needs a condition"),
        ("{% endif %}", "endif closes nothing here"),
        ("{% for x in reasons %}{% endif %}", "endif closes nothing here"),
        ("{% else %}", "else stands within an if"),
        ("{% else x %}", "nothing stands behind else"),
        ("{{ }}", "nothing in the braces"),
        ("{#", "a comment is closed by #}"),
        ("{% set x = 1 %}", "there is no {% set %} here"),
        ("{% macro x() %}", "there is no {% macro %} here"),
        ("{% include 'x' %}", "there is no {% include %} here"),
        ("{% raw %}", "there is no {% raw %} here"),
        ("{{ payout * 2 }}", "the filter times"),
        ("{{ campaign ~ country }}", "beside each other"),
        ("{{ campaign + country }}", "the filter plus"),
        ("{{ range(5) }}", "nothing can be called here"),
        ("{{ campaign.upper() }}", "nothing can be called here"),
        ("{{ campaign.__class__ }}", "__class__ is nothing of an event's"),
        ("{{ {'a': 1} }}", "there are no objects"),
        (r"{{ 'a\'b' }}", "on no backslash"),
        ("{{ payout payout }}", "line 1: "),
        ("{{ (payout }}", "line 1: "),
        ("{{ payout| }}", "line 1: "),
        ("{% for x in 'abc' %}{% endfor %}", "a loop is"),
        ("{% for x in reasons if x %}{% endfor %}", "a loop is"),
        ("{% for x in reasons|sort %}{% endfor %}", "a loop is"),
        ("{% for x in reasons recursive %}{% endfor %}", "a loop is"),
        ("{% for __locale in reasons %}{% endfor %}", "a loop is"),
        ("{% for if in reasons %}{% endfor %}", "a loop is"),
        ("{{ 1 / 0 }}", "unable to calculate 1 / 0 (with the example of conversion.created)"),
        ("{% for x in payout %}{% endfor %}", "not iterable"),
        ("{{ payout|round('x', 'y') }}", "the filter round does not take"),
        ("{{ payout|replace('x') }}", "the filter replace does not take"),
        ("{{ 1 }}" * 201, "at most 200 places"),
        ("{{ [" + "1," * 60 + "1] }}", "too long to be understood"),
        ("{{ " + "(" * 9 + "1" + ")" * 9 + " }}", "at most 6 within each other"),
        ("{% if true %}" * 9 + "{% endif %}" * 9, "at most 6 within each other"),
        ("{{ 1e9 }}", "is not taken here"),
        ("{{ 0x10 }}", "is not taken here"),
        ("{{ ünder }}", "is not taken here"),
    ],
)
@pytest.mark.parametrize("part", ["text", "title"])
def test_what_is_wrong_is_said_when_it_is_saved(source, why, part):
    """With the line, and with the place in the request."""
    [(pointer, detail)] = faults(source, part=part)
    assert pointer == f"/options/templates/conversion.created/{part}"
    assert why in detail


def test_a_template_is_tried_on_the_examples_of_its_types():
    """Of the whole family that it is for, and of no other."""
    source = "{% if label %}{{ 1 / 0 }}{% endif %}"
    assert faults(source, "conversion.*") == []
    [(pointer, detail)] = faults(source, "*")
    assert pointer == "/options/templates/*/text"
    assert "with the example of" in detail


@pytest.mark.parametrize("name", profiles.names())
def test_every_detail_of_every_dialect_can_be_named(name):
    """As a value and as it is written; with every filter that takes nothing."""
    profile = profiles.load(name)
    types = {type_: entry.event_type for type_, entry in profile.catalogue.items()}
    kinds = sorted(profile.messages.kinds)
    for at in range(0, len(kinds), 25):
        source = "".join(f"{{{{ {kind} }}}}{{{{ text.{kind} }}}}" for kind in kinds[at : at + 25])
        given = {"*": Template(text=source)}
        assert templates.check(given, profile, types, takes=lambda *_: True, locale="en_US") == []
    plain = [one for one in FILTERS if one not in {"plus", "times", "replace"}]
    for kind in kinds:
        source = "".join(f"{{{{ {kind}|{one} }}}}" for one in plain) + "".join(
            f"{{{{ {kind} is {one} }}}}" for one in TESTS
        )
        given = {"*": Template(text=source)}
        assert templates.check(given, profile, types, takes=lambda *_: True, locale="de_DE") == []


def test_pointers_are_escaped():
    """As RFC 6901 has it."""
    own = EventType(name="a/b~c", description="", schema={}, example={}, source="account", extension=False)
    given = {"a/b~c": Template(text="{{")}
    [fault] = templates.check(given, STANDARD, {"a/b~c": own}, takes=lambda *_: True, locale="en_US")
    assert fault.pointer == "/options/templates/a~1b~0c/text"


# --- when they fail -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{{ 1 / data.zero }}", "unable to calculate 1 / 0"),
        ("{{ sub1 - 1 }}", "unsupported types"),
        (
            "{% for x in data.long %}" * 3 + "{% endfor %}" * 3,
            "it takes too many steps",
        ),
        (
            "{% for x in data.long %}{% for y in data.long %}{{ y|length }}{% endfor %}{% endfor %}",
            "it takes too many steps",
        ),
        ("{{ data.long }}" * 100, "it makes more than 16384 characters"),
        ("{% for x in data.long %}" + "x" * 3_000 + "{% endfor %}", "it makes more than 16384 characters"),
        ("{% set x = 1 %}", "line 1: there is no {% set %} here"),  # an older version took it
    ],
)
def test_a_template_that_fails_leaves_the_standard_wording_and_says_so(source, why):
    """In the footer, where its author sees it."""
    of = occasion({"zero": 0, "long": ["x" * 600] * 100, **CONVERSION})
    standard = compose(of, ChatOptions(), "slack")
    for part in ("text", "title"):
        message = composed({part: source}, of)
        assert why in message.footer
        assert message.footer.startswith("Acme · The template failed: ")
        assert (message.title, message.lines, message.text) == (standard.title, standard.lines, ())
