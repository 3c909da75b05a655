"""`standard`, figure by figure, each against its source."""

import base64

import pytest

from tocsin.errors import Invalid
from tocsin.profiles import load, names

STANDARD = load("standard")


def test_it_is_the_default_and_read_once() -> None:
    """`standard` is listed first, and is the same object however often it is asked for."""
    assert names()[0] == "standard"
    assert load("standard") is STANDARD
    assert STANDARD.name == "standard"
    assert STANDARD.document == "Standard Webhooks 1.0.0"


def test_its_schedule() -> None:
    """CONTRACT §4: nine delays, so ten requests; their sum is the last line of the standard's own table."""
    assert STANDARD.schedule_s == (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
    hours, seconds = divmod(sum(STANDARD.schedule_s), 3600)
    assert (hours, *divmod(seconds, 60)) == (75, 35, 5)


def test_its_limits() -> None:
    """CONTRACT §4: 15 s; any number of webhooks; plain http is not its business."""
    assert STANDARD.timeout_s == 15
    assert STANDARD.limits.webhooks is None
    assert not STANDARD.limits.https_only


def test_when_it_disables() -> None:
    """CONTRACT §4: after five days of failures, with warnings before; at once on 410; never for one delivery."""
    assert STANDARD.disable.failing_for_s == 5 * 86_400
    assert STANDARD.disable.warn_at_s
    assert max(STANDARD.disable.warn_at_s) < 5 * 86_400
    assert STANDARD.disable.gone_disables
    assert not STANDARD.disable.on_exhausted


def test_its_accounts() -> None:
    """CONTRACT §3: keys begin with tsn_, and custom event types are welcome."""
    assert STANDARD.key_prefix == "tsn_"
    assert STANDARD.custom_event_types


def test_the_headers_that_are_its_own() -> None:
    """Users cannot set what it sends itself; its secret never travels; a rotation signs with both."""
    assert STANDARD.own_headers == {"webhook-id", "webhook-timestamp", "webhook-signature"}
    assert not STANDARD.shows_secret
    assert STANDARD.signs_with_both


def test_a_made_secret_is_in_the_standards_form() -> None:
    """whsec_ and base64 of random bytes, within the standard's bounds, and taken when it is given back."""
    secret = STANDARD.make_secret(lambda n: bytes(range(n)))
    assert secret is not None
    assert 24 <= len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) <= 64
    STANDARD.check_secret(secret)


@pytest.mark.parametrize("length", [24, 32, 64])
def test_a_given_secret_is_taken(length: int) -> None:
    """CONTRACT §4: 24 to 64 random bytes."""
    STANDARD.check_secret("whsec_" + base64.b64encode(bytes(length)).decode())


@pytest.mark.parametrize(
    "secret",
    [
        "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=",
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
    ],
)
def test_an_ed25519_key_is_taken(secret: str) -> None:
    """A whsk_ key, alone or with its public half."""
    STANDARD.check_secret(secret)


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        ("", "must begin with whsec_"),
        ("hunter2hunter2hunter2hunter2", "must begin with whsec_"),
        ("whsec_", "0 bytes"),
        ("whsec_" + base64.b64encode(bytes(23)).decode(), "23 bytes"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), "65 bytes"),
        ("whsec_%%%", "not padded standard base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", "not padded standard base64"),
        ("whsec_" + base64.urlsafe_b64encode(b"\xff" * 24).decode(), "not padded standard base64"),
        ("whsec_é" + "A" * 32, "not padded standard base64"),
        ("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", "public key"),
        ("whsk_AAAA", "not an ed25519 key"),
        ("whsk_!", "not an ed25519 key"),
        ("whsk_" + base64.b64encode(bytes(64)).decode(), "do not belong together"),
    ],
)
def test_a_secret_of_another_form_is_refused(secret: str, why: str) -> None:
    """The refusal says how to mend it and never repeats the secret."""
    with pytest.raises(Invalid, match=why) as caught:
        STANDARD.check_secret(secret)
    assert caught.value.code == "secret_invalid"
    assert [fault.pointer for fault in caught.value.faults] == ["/secret"]
    assert len(secret) < 12 or secret not in caught.value.detail


def test_options_are_not_its_business() -> None:
    """It gives no option a meaning, and refuses none."""
    STANDARD.check_options({"signature": "anything", "digest": {"max": 3}})
