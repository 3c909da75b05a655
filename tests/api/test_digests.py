"""Digests and what was folded into them, as `/v1` shows them."""

from collections.abc import Sequence

import pytest

from tests.api.site import HOOK, LocalShop
from tests.store.gathering import summary
from tocsin import ids
from tocsin.clock import Millis
from tocsin.model import (
    DIGEST_TYPE,
    AccountId,
    Attempt,
    DeliveryId,
    DeliveryState,
    EventId,
    Outcome,
    OutcomeKind,
    Trigger,
    WebhookId,
)
from tocsin.store.port import DigestKind, Fold, Gathered, OpenDigest, Settlement, Window

RETRYING, SUCCEEDED = DeliveryState.RETRYING, DeliveryState.SUCCEEDED


class Lane:
    """A webhook that is muted, so that its deliveries stay where they are; the test gathers in the engine's stead."""

    def __init__(self, shop: LocalShop) -> None:
        self.shop = shop
        self.site = shop.site
        self.store = shop.site.app.store
        self.id: str = shop.webhook(HOOK)["id"]
        shop.post(f"/v1/webhooks/{self.id}/mute", {"hours": 720})
        self.number = WebhookId(ids.parse("wh_", self.id) or 0)
        self.account = AccountId(ids.parse("acc_", shop.id) or 0)
        self.epoch = int(self.site.run(self.store.housekeeping.meta("epoch")) or 0)
        self.now = Millis(ids.made_at_ms(self.number) + 100_000)

    def claim(self) -> list[DeliveryId]:
        answer = self.site.run(self.store.journal.claim([(self.number, 100)], self.now, self.epoch))
        return [one.id for one in answer.claimed]

    def fold(self, members: Sequence[int], n: int) -> str:
        """Folds claimed deliveries into a new digest, due at once; its id."""
        number = max(members) + 1
        into = OpenDigest(
            delivery_id=DeliveryId(number),
            event_id=EventId(number + 1),
            kind=DigestKind.SUMMARY,
            opened_at=self.now,
            due_at=self.now,
            summary=summary(n),
        )
        window = Window(webhook_id=self.number, opened_at=self.now, ends_at=self.now, sent=0, open=(into,))
        folds = (Fold(members=tuple(DeliveryId(id_) for id_ in members), into=into),)
        gathered = Gathered(account_id=self.account, at=self.now, window=window, folds=folds)
        self.site.run(self.store.digests.gather([gathered], self.epoch))
        return ids.show("dig_", number)

    def settle(self, delivery_id: DeliveryId, state: DeliveryState) -> None:
        attempt = Attempt(
            id=delivery_id + 7,
            delivery_id=delivery_id,
            n=1,
            trigger=Trigger.SCHEDULE,
            started_at=self.now,
            outcome=Outcome(kind=OutcomeKind.SUCCEEDED, status_code=200),
            method="POST",
            url_shown=HOOK,
            request_headers=(),
            request_body=None,
            webhook_version=1,
        )
        due = self.now if state is RETRYING else None
        settlement = Settlement(
            delivery_id=delivery_id, attempt=attempt, state=state, due_at=due, tries=1, settled_at=self.now
        )
        self.site.run(self.store.journal.settle([settlement], self.epoch))


@pytest.fixture
def lane(shop: LocalShop) -> Lane:
    return Lane(shop)


def test_members_point_to_their_digest_and_inherit_its_outcome(shop: LocalShop, lane: Lane):
    """What was folded says into which digest and what became of that; a digest says for how many it stands."""
    events = [shop.publish()["id"] for _ in range(3)]
    members = lane.claim()
    digest = lane.fold(members[:2], 2)
    listed = {one["id"]: one for one in shop.deliveries()}
    assert {id_: (one["status"], one["digest_id"], one["members"]) for id_, one in listed.items()} == {
        digest: ("pending", None, 2),
        ids.show("dlv_", members[0]): ("digested", digest, None),
        ids.show("dlv_", members[1]): ("digested", digest, None),
        ids.show("dlv_", members[2]): ("sending", None, None),
    }
    assert listed[digest]["type"] == DIGEST_TYPE
    member = ids.show("dlv_", members[0])
    assert shop.delivery(member)["digest_status"] == "pending"
    (claimed,) = lane.claim()
    lane.settle(claimed, SUCCEEDED)
    assert (shop.delivery(member)["digest_status"], shop.delivery(member)["status"]) == ("succeeded", "digested")
    assert shop.delivery(digest)["digest_status"] is None
    (shown,) = shop.get(f"/v1/events/{events[0]}")["deliveries"]
    assert (shown["status"], shown["digest_id"]) == ("digested", digest)
    assert shop.call("POST", f"/v1/deliveries/{member}/cancel").code == "already_ended"


def test_an_outcome_is_inherited_through_digests(shop: LocalShop, lane: Lane):
    """Where a digest was folded into another, its members have that one's outcome."""
    shop.publish()
    (member,) = lane.claim()
    first = lane.fold([member], 1)
    (sent,) = lane.claim()
    lane.settle(sent, RETRYING)
    second = lane.fold(lane.claim(), 1)
    shown = shop.delivery(ids.show("dlv_", member))
    assert (shown["digest_id"], shown["digest_status"]) == (first, "pending")
    absorbed = shop.delivery(first)
    assert (absorbed["status"], absorbed["digest_id"], absorbed["members"]) == ("digested", second, 1)
    assert shop.delivery(second)["members"] == 1
    assert [one["id"] for one in shop.deliveries(digest=second)] == [first]
    assert shop.ok("POST", f"/v1/deliveries/{second}/cancel")["status"] == "cancelled"
    assert shop.delivery(ids.show("dlv_", member))["digest_status"] == "cancelled"


def test_ids_of_digests_are_read_with_either_prefix(shop: LocalShop, other: LocalShop, lane: Lane):
    """A digest is found by its id with the prefix of deliveries too, and by no other account."""
    shop.publish()
    members = lane.claim()
    digest = lane.fold(members, 1)
    plain = "dlv_" + digest.removeprefix("dig_")
    member = ids.show("dig_", members[0])
    assert shop.delivery(plain)["id"] == shop.delivery(digest)["id"] == digest
    assert shop.delivery(member)["id"] == ids.show("dlv_", members[0])
    for said in (plain, digest):
        assert [one["id"] for one in shop.deliveries(digest=said)] == [ids.show("dlv_", members[0])]
        assert other.call("GET", f"/v1/deliveries/{said}").code == "not_found"
        assert other.deliveries(digest=said) == []
    assert shop.call("GET", "/v1/deliveries?digest=evt_06f3k9w2zq8rt").json["errors"][0]["pointer"] == "?digest"


def test_an_own_event_is_shown_by_its_id_alone(shop: LocalShop, lane: Lane):
    """The event behind a digest is listed nowhere; by its id it is shown, with no routing."""
    event = shop.publish()["id"]
    digest = lane.fold(lane.claim(), 1)
    own = shop.delivery(digest)["event_id"]
    assert [one["id"] for one in shop.pages("/v1/events")] == [event]
    shown = shop.get(f"/v1/events/{own}")
    assert (shown["type"], shown["source"], shown["routing"]) == (DIGEST_TYPE, "tocsin", [])
    assert shown["data"]["count"] == 1
    assert [one["id"] for one in shown["deliveries"]] == [digest]
