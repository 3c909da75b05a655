"""The receivers of the demonstration: how each behaves, and what must become of the deliveries to it."""

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from tocsin.profiles import Profile
from tocsin.receiver.hosting.asgi import Reply
from tocsin.receiver.inbox.arrivals import Arrival

# Delays of minutes and hours become fractions of a second, so that a schedule is walked through before one's eyes.
_SCALE = 0.002
# Where a delivery must use up its whole schedule, that must be over while the hanging receiver is still waited for.
_EXHAUSTED_WITHIN_S = 8.0

_PATIENCE_S = 15

Share = Literal["everything", "some", "few", "one"]


class Step(msgspec.Struct, frozen=True):
    """How one attempt must end."""

    outcome: str
    status_code: int | None = None

    def __str__(self) -> str:
        return self.outcome if self.status_code is None else str(self.status_code)


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """What must become of each delivery, and of the webhook.

    `held`: the delivery waits in the end, since its webhook is disabled; it is then cancelled through the API.
    `webhook` other than active: only the first event came to it.
    """

    steps: tuple[Step, ...]
    ends: str
    webhook: str = "active"
    held: bool = False


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One receiver, and the webhook that each account has for it.

    `share`: how much of the traffic it gets; `counted`: it gets none of what activity fires; `plays`: whether it has a
    part for accounts of that profile.
    """

    name: str
    does: str
    share: Share
    reply: Callable[[Arrival], Reply | None]
    fate: Callable[[Profile], Fate]
    story: str
    counted: bool = False
    plays: Callable[[Profile], bool] = lambda _: True


_TAKEN = Step("succeeded", 200)


def _gone_fate(profile: Profile) -> Fate:
    refused = Step("http_error", 410)
    if profile.disable.gone_disables:
        return Fate(steps=(refused,), ends="cancelled", webhook="disabled", held=True)
    webhook = "failed" if profile.disable.on_exhausted else "active"
    return Fate(steps=(refused,) * (len(profile.schedule_s) + 1), ends="failed", webhook=webhook)


PARTS = (
    Part(
        name="healthy",
        does="answers 200",
        share="everything",
        reply=lambda _: Reply(),
        fate=lambda _: Fate(steps=(_TAKEN,), ends="succeeded"),
        story="each event arrives once, at its first attempt.",
    ),
    Part(
        name="fails twice",
        does="answers 500, then 503, then 200",
        share="some",
        reply=lambda arrival: Reply(status={1: 500, 2: 503}.get(arrival.nth, 200)),
        fate=lambda _: Fate(
            steps=(Step("http_error", 500), Step("http_error", 503), _TAKEN),
            ends="succeeded",
        ),
        story="each event is delivered by its second retry, with the same id and a fresh signature.",
    ),
    Part(
        name="hangs",
        does="never answers a first attempt",
        share="few",
        counted=True,
        reply=lambda arrival: None if arrival.nth == 1 else Reply(),
        fate=lambda _: Fate(steps=(Step("timeout"), _TAKEN), ends="succeeded"),
        story=(
            "it is cut at the profile's time limit, which no setting shortens, and its retry delivers. Profiles that "
            f"wait for longer than {_PATIENCE_S} s have no such receiver here: the demonstration is over before."
        ),
        plays=lambda profile: profile.timeout_s <= _PATIENCE_S,
    ),
    Part(
        name="gone",
        does="answers 410",
        share="one",
        counted=True,
        reply=lambda _: Reply(status=410),
        fate=_gone_fate,
        story=(
            "where the profile says so, the webhook is disabled at once, and what waits for it is held (here it is "
            "then cancelled through the API). Elsewhere that is a failure like any other: the delivery fails when its "
            "schedule is used up, and where the profile says so the webhook with it. A webhook that has been stopped "
            "gets no later events; they are kept."
        ),
    ),
)


def retry_scale(found: Mapping[str, Profile]) -> float:
    """`TOCSIN_RETRY_SCALE` for these profiles."""
    walked_s = max(
        (sum(profile.schedule_s) for profile in found.values() if not profile.disable.gone_disables), default=0
    )
    return min(_SCALE, _EXHAUSTED_WITHIN_S / walked_s) if walked_s else _SCALE
