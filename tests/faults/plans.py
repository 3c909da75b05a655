"""What a drill does: made from a fleet, a failpoint's name and a seed, and nothing else, so that it can be repeated."""

import itertools
import random
from dataclasses import dataclass

from tests.support.cluster import Shape
from tocsin.failpoints import DELIVERING

# The standard profile's 5 s and 5 min become 10 ms and 0.6 s: two failures in a row still fit a short drill. Cue's six
# attempts take 0.7 s.
RETRY_SCALE = 0.002

# CONTRACT §4, "retries after", in seconds.
STANDARD_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
CUE_S = (1, 4, 16, 64, 256)

# Only at these is there, if all is quiet, nothing whose outcome is unknown: not a single duplicate is allowed then.
_NOTHING_SENT = ("before_commit", "after_commit", "after_claim")


# These are passed by the process that takes requests; all others by those that send.
TAKING_IN = ("before_commit", "after_commit")


@dataclass(frozen=True)
class Account:
    profile: str
    click: str  # the event type that its publishers use
    schedule_s: tuple[int, ...]


ACCOUNTS = (Account("standard", "click.created", STANDARD_S), Account("cue", "ad.click", CUE_S))


@dataclass(frozen=True)
class Hook:
    """A webhook of a drill."""

    account: int
    path: str
    delay_s: float = 0.0  # of the receiver's answers
    refused: bool = False  # its name has turned to an address that must not be dialled


@dataclass(frozen=True)
class Plan:
    shape: Shape
    failpoint: str
    seed: int
    quiet: bool  # one event at a time, each settled before the next is published
    accounts: tuple[int, ...]  # by event number: whose it is
    requests: tuple[tuple[int, ...], ...]  # the events' numbers, of one account; one: a single POST, more: a batch
    publishers: int
    hooks: tuple[Hook, ...]
    kills: tuple[str, ...]  # where a life ends, and the next one of the same process; only the first is sure to come
    failures: dict[tuple[int, int], int]  # (hook, event): how many attempts are answered 500 first
    revive: bool  # whether a process that died is started again where others can do its work

    @property
    def events(self) -> int:
        return len(self.accounts)

    def wanted(self, hook: int) -> list[int]:
        """The events that a webhook gets."""
        return [number for number, account in enumerate(self.accounts) if account == self.hooks[hook].account]

    def most_attempts(self, hook: int, number: int) -> int:
        """How many the schedule makes of this delivery."""
        most = len(ACCOUNTS[self.hooks[hook].account].schedule_s) + 1
        return most if self.hooks[hook].refused else min(most, self.failures.get((hook, number), 0) + 1)

    def state(self, hook: int, number: int) -> str:
        """How this delivery ends."""
        most = len(ACCOUNTS[self.hooks[hook].account].schedule_s) + 1
        fails = self.hooks[hook].refused or self.failures.get((hook, number), 0) >= most
        return "failed" if fails else "succeeded"

    def __str__(self) -> str:
        dies = f"; dies at {', then '.join(self.kills)}{'' if self.revive else ' and stays dead'}" if self.kills else ""
        return (
            f"{self.shape}, {self.failpoint}, seed {self.seed} ({'quiet' if self.quiet else 'loud'}: {self.events} "
            f"events in {len(self.requests)} requests by {self.publishers} publishers to {len(self.hooks)} webhooks"
            f"{dies}); repeat with this test's name and --seed {self.seed}"
        )


def plan(shape: Shape, failpoint: str, seed: int) -> Plan:
    rng = random.Random(f"{shape}/{failpoint}/{seed}")
    several = len(shape.senders) > 1
    quiet = failpoint in _NOTHING_SENT and seed % 2 == 0
    events = rng.randint(5, 8) if quiet else rng.randint(24, 60)
    publishers = 1 if quiet else rng.randint(2, 6)
    accounts = tuple(rng.choices((0, 1), (3, 1), k=events))
    # An attempt that is refused leaves no trace at a receiver, as some must to show where it died; and is made beside
    # another one, where a claim must be all that goes on.
    refused = seed % 2 == 1 or failpoint in TAKING_IN
    hooks = _hooks(rng, 1 if quiet else rng.randint(8, 10) if several else rng.randint(1, 4), quiet, refused)
    requests = _requests(rng, accounts, 1 if quiet else rng.choice((1, 3, 20)))
    # Claims happen where a delivery waits in the store: after a failure.
    fails = 1.0 if failpoint == "after_claim" and quiet else rng.choice((0.2, 0.5))
    failures = {
        (hook, number): rng.choices((1, 2, 9), (16, 2, 1))[0] if hooks[hook].account else rng.choices((1, 2), (9, 1))[0]
        for hook, number in itertools.product(range(len(hooks)), range(events))
        if accounts[number] == hooks[hook].account and not hooks[hook].refused and rng.random() < fails
    }
    sends = sum(accounts[number] == hook.account for hook in hooks if not hook.refused for number in range(events))
    # The last time that is sure to come: publishers wait for commits, outcomes are settled in batches. Of several that
    # send, one has at least its share.
    latest = {
        "before_commit": max(1, len(requests) // publishers),
        "after_commit": max(1, len(requests) // publishers),
        "after_claim": max(1, events // 3) if quiet else 2,
        "after_send": sends // 2 // len(shape.senders),
        "before_settle": 3,
    }
    kills = [f"{failpoint}:{rng.randint(1, latest[failpoint])}"]
    if not quiet and rng.random() < 0.4:  # and again, while it recovers or soon after
        kills.append(f"{rng.choice(DELIVERING)}:{rng.randint(1, 3)}")
    return Plan(
        shape=shape,
        failpoint=failpoint,
        seed=seed,
        quiet=quiet,
        accounts=accounts,
        requests=requests,
        publishers=publishers,
        hooks=hooks,
        kills=tuple(kills),
        failures=failures,
        revive=not several or rng.random() < 0.5,
    )


def steady(shape: Shape, name: str, seed: int, *, answer_s: float) -> Plan:
    """Some ten seconds of traffic for ten webhooks, whose receivers take their time; nobody dies by itself.

    Args:
        answer_s: how long a receiver takes at most.
    """
    rng = random.Random(f"{shape}/{name}/{seed}")
    events = 150
    accounts = tuple(rng.choices((0, 1), (3, 1), k=events))
    hooks = (
        *(Hook(0, f"/standard-{n}", rng.uniform(answer_s / 2, answer_s)) for n in range(9)),
        Hook(1, "/cue", answer_s / 2),
    )
    return Plan(
        shape=shape,
        failpoint=name,
        seed=seed,
        quiet=False,
        accounts=accounts,
        requests=_requests(rng, accounts, 2),
        publishers=3,
        hooks=hooks,
        kills=(),
        failures={
            (hook, number): 1
            for hook, number in itertools.product(range(len(hooks)), range(events))
            if accounts[number] == hooks[hook].account and rng.random() < 0.1
        },
        revive=True,
    )


def _hooks(rng: random.Random, standard: int, quiet: bool, refused: bool) -> tuple[Hook, ...]:  # noqa: FBT001 - two facts
    """Some of the one account, and of the other one that works, and one whose name turns to a refused address."""

    def delay_s() -> float:
        return 0.0 if quiet else rng.choice((0.0, 0.002, 0.02))

    return (
        *(Hook(0, f"/standard-{n}", delay_s()) for n in range(standard)),
        Hook(1, "/cue", delay_s()),
        *([Hook(1, "/refused", refused=True)] if refused else []),
    )


def _requests(rng: random.Random, accounts: tuple[int, ...], largest: int) -> tuple[tuple[int, ...], ...]:
    left = {account: iter([n for n, one in enumerate(accounts) if one == account]) for account in set(accounts)}
    requests = []
    while left:
        account = rng.choice(sorted(left))
        if taken := tuple(itertools.islice(left[account], rng.randint(1, largest))):
            requests.append(taken)
        else:
            del left[account]
    return tuple(requests)
