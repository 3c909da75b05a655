"""A dialect told in words, for people: the command line and the documentation say the same."""

from tocsin.profiles.profile import Profile
from tocsin.profiles.signatures import Scheme

_UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


def exact(seconds: float) -> str:
    """A length of time in the largest unit that it is a whole number of: ``30 m``, ``64 s``, ``1 d``."""
    name, size = next((unit for unit in _UNITS if seconds % unit[1] == 0), _UNITS[-1])
    return f"{seconds / size:g} {name}"


def retries(profile: Profile) -> str:
    """The delays before each retry."""
    return ", ".join(map(exact, profile.schedule_s)) or "never"


def signature(profile: Profile) -> str:
    """What the signature's header holds, and what a webhook may choose."""
    spec = profile.signature
    said = f"{spec.header or 'webhook-signature'}: {_held(spec.scheme, spec.prefix)}"
    if spec.scheme_option:
        choices = ", ".join(
            name if scheme == spec.scheme else f"{name}: {_held(scheme, spec.prefix)}"
            for name, scheme in spec.schemes.items()
        )
        said += f"; the webhook's option {spec.scheme_option} chooses ({choices})"
    if spec.header_option:
        said += f"; its option {spec.header_option} names another header"
    return f"{said}; nothing where the webhook has no secret" if profile.may_be_unsigned else said


def _held(scheme: Scheme, prefix: str) -> str:
    return {
        "standard-webhooks": "v1,BASE64, the HMAC-SHA256 of ID.TIMESTAMP.BODY, keyed with the bytes after whsec_; "
        "v1a (ed25519) where the secret is a whsk_",
        "hmac-hex": f"{prefix}HEX, the HMAC-SHA256 of the body, keyed with the secret's text",
        "timestamped-hmac-hex": f"{prefix}t=SECONDS,v1=HEX, the HMAC-SHA256 of SECONDS.BODY, keyed with the secret's "
        "text",
        "token": f"{prefix}the secret itself",
    }[scheme]


def secret(profile: Profile) -> str:
    """Whose the secret is, and who signs while it is changed."""
    made = "given, or none" if profile.may_be_unsigned else "given or made"
    return f"{made}; while it is changed, {'both sign' if profile.signs_with_both else 'the old one signs'}"


def disabling(profile: Profile) -> str:
    """When a webhook is stopped without its owner's doing."""
    policy = profile.disable
    found = []
    if policy.on_exhausted:
        found.append("when a delivery has used up its retries and none other succeeded meanwhile")
    if policy.failing_for_s is not None:
        found.append(f"after {exact(policy.failing_for_s)} in which every attempt failed")
    if policy.gone_disables:
        found.append("at once on 410")
    return "; ".join(found) or "never by itself"


def addresses(profile: Profile) -> str:
    """What a webhook's address may be."""
    return "https only" if profile.limits.https_only else "https (and http where the server allows it)"


def webhooks(profile: Profile) -> str:
    """How many an account may have."""
    return "any number" if profile.limits.webhooks is None else f"{profile.limits.webhooks} at most"
