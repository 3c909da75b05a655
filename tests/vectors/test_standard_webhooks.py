"""The published Standard Webhooks vectors, signed by us and checked by three parties.

The symmetric one is in the tests of each of the reference libraries; of the two asymmetric ones, the first is in those
of the Go library (a bare 32-byte key), the second in Svix's server (key and public key together), whose signature is
also the example in the specification's "Webhook headers".
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tocsin.profiles.signatures import public_key, standard_headers, verify_v1a
from tocsin.receiver.verify import Cause, VerificationError, verify

ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT_S = 1_614_265_330
BODY = b'{"test": 2432232314}'

V1 = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
V1A = [
    (
        "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=",
        "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag==",
    ),
    (
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
        "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
    ),
]
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


def signed(*secrets: str, at_s: int = AT_S) -> Mapping[str, str]:
    return dict(standard_headers(ID, BODY, secrets, at_s))


@pytest.mark.parametrize(("secret", "signature"), [V1, *V1A])
def test_we_sign_as_published(secret: str, signature: str) -> None:
    """Each vector comes out to the letter, with the three headers of the standard."""
    assert signed(secret) == {"webhook-id": ID, "webhook-timestamp": str(AT_S), "webhook-signature": signature}


def test_our_receiver_takes_the_published_signature() -> None:
    """With the secret as it is shown, and without its prefix, as the reference libraries let it."""
    headers = {"Webhook-Id": ID, "Webhook-Timestamp": str(AT_S), "Webhook-Signature": V1[1]}
    for secret in (V1[0], V1[0].removeprefix("whsec_")):
        verified = verify(headers, BODY, secret, now=AT_S)
        assert verified.id == ID
        assert verified.event == {"test": 2432232314}
        assert verified.timestamp
        assert verified.timestamp.timestamp() == AT_S


@pytest.mark.parametrize(("secret", "signature"), V1A)
def test_the_public_key_takes_the_published_signature(secret: str, signature: str) -> None:
    """A whpk_ key, made of the whsk_ one, checks v1a; one flipped bit anywhere is refused."""
    key = public_key(secret)
    assert key.startswith("whpk_")
    assert verify_v1a(key, ID, str(AT_S), BODY, f"v1,AAAA {signature}")
    assert not verify_v1a(key, ID, str(AT_S + 1), BODY, signature)
    assert not verify_v1a(key, ID + "x", str(AT_S), BODY, signature)
    assert not verify_v1a(key, ID, str(AT_S), BODY + b" ", signature)
    assert not verify_v1a(key, ID, str(AT_S), BODY, signature.replace("v1a,", "v1,"))
    assert not verify_v1a(key, ID, str(AT_S), BODY, "v1a,%%% v1a,AAAA v1a")
    other = next(public_key(one) for one, _ in V1A if one != secret)
    assert not verify_v1a(other, ID, str(AT_S), BODY, signature)


def test_svixs_public_key() -> None:
    """The public half of the second vector, as published."""
    assert public_key(V1A[1][0]) == "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="


def test_our_receiver_says_what_it_cannot_check() -> None:
    """ed25519 is not in the standard library: the refusal says so, and what to do instead."""
    for headers, secret in ((signed(V1A[0][0]), V1[0]), (signed(V1[0], V1A[0][0]), public_key(V1A[0][0]))):
        with pytest.raises(VerificationError, match="tocsin verify") as caught:
            verify(headers, BODY, secret, now=AT_S)
        assert caught.value.cause is Cause.UNSUPPORTED


def test_the_package_takes_what_we_sign() -> None:
    """`standardwebhooks` from PyPI verifies our headers, also the second of two signatures."""
    now = int(time.time())
    Webhook(V1[0]).verify(BODY, dict(signed(V1[0], at_s=now)))
    Webhook(V1[0]).verify(BODY, dict(signed(OTHER, V1[0], V1A[0][0], at_s=now)))
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(BODY, dict(signed(V1[0], at_s=now)))


def test_we_take_what_the_package_signs() -> None:
    """Our receiver verifies what `standardwebhooks` signs."""
    at = datetime.fromtimestamp(AT_S, UTC)
    headers = {
        "webhook-id": ID,
        "webhook-timestamp": str(AT_S),
        "webhook-signature": Webhook(V1[0]).sign(ID, at, BODY.decode()),
    }
    assert verify(headers, BODY, V1[0], now=AT_S).id == ID


def test_both_secrets_count_while_one_is_rotated() -> None:
    """The header holds one signature for each secret, separated by a space, and either secret verifies."""
    headers = signed(OTHER, V1[0])
    assert headers["webhook-signature"].split(" ")[1] == V1[1]
    for secret in (OTHER, V1[0], ["whsec_" + "A" * 32, V1[0]]):
        assert verify(headers, BODY, secret, now=AT_S).id == ID
    with pytest.raises(VerificationError):
        verify(headers, BODY, "whsec_" + "A" * 32, now=AT_S)
