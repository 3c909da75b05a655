"""The demonstration, step by step: receivers and server up, accounts and webhooks made, traffic sent, fates awaited.

What activity fires, the server decides; the receivers that hang or are gone are for counted events. Since activity is
of the day before, their webhooks have a filter that lets nothing of it pass. So what they get is published first, and
the activity is posted while the one that hangs is waited for.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tocsin import profiles
from tocsin.cli.demo.api import Api
from tocsin.cli.demo.chat_report import ChatRow
from tocsin.cli.demo.chats import Chats
from tocsin.cli.demo.happenings import TrafficRow, happenings, judge_traffic
from tocsin.cli.demo.report import Check, Report, Row, judge_webhook
from tocsin.cli.demo.scenario import PARTS, Fate, Part
from tocsin.cli.demo.server import ServerProcess
from tocsin.cli.demo.traffic import SINGLE, Plan, Planned, plan, stops_by_itself
from tocsin.cli.exits import FAILED, Failure
from tocsin.clock import SystemClock, rfc3339
from tocsin.profiles import Profile
from tocsin.receiver.hosting.asgi import Reply
from tocsin.receiver.inbox.arrivals import Arrival
from tocsin.receiver.inbox.judging import judge
from tocsin.receiver.inbox.server import Inbox

_AT_ONCE = 8  # publishers of single posts
_BATCH = 100
_REPEATED = 10  # events that are posted a second time under the same external id
_SETTLE_S = 26.0  # from the first event: a time limit of 15 s and its retry, with room; CONTRACT §2: under 30 s in all
_LOOK_EVERY_S = 0.25
_KEPT = 100_000  # the receivers' ledgers hold all of it

Say = Callable[[str], None]


class Tenant(NamedTuple):
    """One account, with its webhooks by part."""

    profile: Profile
    plan: Plan
    account: Mapping[str, Any]
    webhooks: dict[str, Mapping[str, Any]]


class Demonstration:
    def __init__(self, server: ServerProcess, seed: int, say: Say) -> None:
        self.tenants: list[Tenant] = []
        self._server = server
        self._seed = seed
        self._say = say
        self._inboxes = {part.name: Inbox(reply=_responder(part), kept=_KEPT) for part in PARTS}
        self._api = Api(server)
        self.chats = Chats(self._api)
        self._accepted: dict[str, float] = {}  # event → instant of its 202
        self._accepted_types: dict[str, dict[str, str]] = {}  # account → event → type
        self._refused_duplicates = 0
        self._triggered: set[str] = set()  # events that activity fired
        self._known: dict[str, Mapping[str, Any]] = {}  # deliveries with their attempts, as they were last read
        self._began_ms = SystemClock().now_ms()

    async def close(self) -> None:
        await self._api.close()
        await self.chats.stop()
        await asyncio.gather(*(inbox.stop() for inbox in self._inboxes.values()))

    async def run(self) -> Report:
        """All of it.

        Raises:
            Failure: the server refused something that it should have taken.
        """
        began = time.monotonic()
        for inbox in self._inboxes.values():
            await inbox.start()
        await self.chats.start()
        await self._server.start(self.chats.smtp_url)
        self._say(f"A server runs at {self._server.url}; {len(PARTS)} receivers listen, and the doubles of the chats.")
        for name in profiles.names():
            self.tenants.append(await self._move_in(profiles.load(name)))
        deadline = time.monotonic() + _SETTLE_S
        for tenant in self.tenants:
            await self._publish_singly(tenant, tenant.plan.first)
        traffic = await self._post_activity()
        self._say(
            f"{sum(row.activities for row in traffic)} activities are posted; they fired {len(self._triggered)} events."
        )
        await self._await_gone(deadline)
        for tenant in self.tenants:
            rest = tenant.plan.rest
            await self._publish_singly(tenant, rest[:SINGLE])
            await self._publish_in_batches(tenant, rest[SINGLE:])
            await self._publish_again(tenant, rest[:_REPEATED])
        limits_s = [tenant.profile.timeout_s for tenant in self.tenants if "hangs" in tenant.webhooks]
        self._say(
            f"{len(self._accepted)} events are accepted, {self._refused_duplicates} repeated ones were recognised."
        )
        self._say(f"Receivers that hang are given up after {min(limits_s):g} to {max(limits_s):g} s, by the profile …")
        await self._await_fates(deadline)
        rows = [await self._judge(tenant, part) for tenant, part in self._played()]
        chats = [row for tenant in self.tenants for row in await self._judge_chats(tenant)]
        return Report(
            seconds=round(time.monotonic() - began, 1),
            events=len(self._accepted),
            duplicates_refused=self._refused_duplicates,
            traffic=traffic,
            rows=rows,
            chats=chats,
            checks=[*await self._checks(), self._told_of(chats)],
        )

    # --- set-up ---------------------------------------------------------------------------------------------------

    async def _move_in(self, profile: Profile) -> Tenant:
        account = await self._api.call(
            self._server.operator_key,
            "POST",
            "/v1/accounts",
            {"name": f"Demo ({profile.title})", "profile": profile.name, "external_id": f"demo-{profile.name}"},
        )
        self._accepted_types[account["id"]] = {}
        tenant = Tenant(profile, plan(profile, self._seed), account, {})
        await self._subscribe(tenant)
        await self.chats.subscribe(profile, account["key"])
        return tenant

    async def _subscribe(self, tenant: Tenant) -> None:
        profile = tenant.profile
        for part in (part for part in PARTS if part.plays(profile)):
            inbox = self._inboxes[part.name]
            path = _path(profile, part)
            asked = {"url": inbox.url(path), "name": part.name, "events": list(_patterns(tenant.plan, part))}
            if part.counted:
                asked["filter"] = f'event.timestamp >= timestamp("{rfc3339(self._began_ms)}")'
            if profile.make_secret(bytes) is None:
                asked["secret"] = secrets.token_urlsafe(32)  # it signs only where its owner gives one
            hook = await self._api.call(tenant.account["key"], "POST", "/v1/webhooks", asked)
            tenant.webhooks[part.name] = {**hook, "secret": asked.get("secret") or hook["secret"]}
            inbox.trust(tenant.webhooks[part.name]["secret"], path=path)

    # --- traffic --------------------------------------------------------------------------------------------------

    async def _post_activity(self) -> Sequence[TrafficRow]:
        """The same activities to every account; what each dialect made of them."""
        posted = happenings(self._seed, self._began_ms)
        bodies = [made.body for made in posted]
        rows = []
        first = None
        for tenant in self.tenants:
            results: list[Mapping[str, Any]] = []
            for at in range(0, len(bodies), _BATCH):
                results += await self._post_activities(tenant, bodies[at : at + _BATCH])
            for event in (event for result in results for event in result["events"]):
                self._triggered.add(event["id"])
                self._take(tenant, event)
            again = await self._post_activities(tenant, bodies[-_BATCH:])
            first = first or results
            rows.append(judge_traffic(tenant.profile, posted, results, again, first))
        return rows

    async def _post_activities(self, tenant: Tenant, bodies: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        answer = await self._api.call(tenant.account["key"], "POST", "/v1/activity", {"activities": bodies})
        results: list[Mapping[str, Any]] = answer["results"]
        refused = next((result for result in results if "error" in result), None)
        if refused is not None:
            raise Failure(FAILED, f"an activity was refused: {refused['error']}")
        return results

    async def _publish_singly(self, tenant: Tenant, events: Sequence[Planned]) -> None:
        waiting = list(reversed(events))

        async def publisher() -> None:
            while waiting:
                event = waiting.pop()
                self._take(tenant, await self._api.call(tenant.account["key"], "POST", "/v1/events", event.body()))

        await asyncio.gather(*(publisher() for _ in range(_AT_ONCE)))

    async def _publish_in_batches(self, tenant: Tenant, events: Sequence[Planned]) -> None:
        for at in range(0, len(events), _BATCH):
            body = {"events": [event.body() for event in events[at : at + _BATCH]]}
            answer = await self._api.call(tenant.account["key"], "POST", "/v1/events/batch", body)
            for result in answer["results"]:
                if result["status"] != "accepted":
                    raise Failure(FAILED, f"an event of a batch was {result['status']}: {result.get('error')}")
                self._take(tenant, result)

    async def _publish_again(self, tenant: Tenant, events: Sequence[Planned]) -> None:
        for event in events:
            receipt = await self._api.call(tenant.account["key"], "POST", "/v1/events", event.body())
            self._refused_duplicates += bool(receipt["duplicate"]) and receipt["id"] in self._accepted

    def _take(self, tenant: Tenant, receipt: Mapping[str, Any]) -> None:
        self._accepted[receipt["id"]] = time.time()
        self._accepted_types[tenant.account["id"]][receipt["id"]] = receipt["type"]

    # --- waiting --------------------------------------------------------------------------------------------------

    async def _await_gone(self, deadline: float) -> None:
        """Until each webhook that a gone receiver stops is stopped, so that what comes later is not for it."""
        for tenant in self.tenants:
            while stops_by_itself(tenant.profile) and time.monotonic() < deadline:
                hook = await self._get(tenant, f"/v1/webhooks/{tenant.webhooks['gone']['id']}")
                if hook["status"] != "active":
                    break
                await asyncio.sleep(_LOOK_EVERY_S / 5)

    async def _await_fates(self, deadline: float) -> None:
        """Until every delivery has ended, or waits where it must; those are then cancelled."""
        left = list(self._played())
        talking = list(self.tenants)
        while (left or talking) and time.monotonic() < deadline:
            left = [(tenant, part) for tenant, part in left if not await self._has_ended(tenant, part)]
            talking = [
                tenant for tenant in talking if not await self.chats.have_ended(tenant.profile, tenant.account["key"])
            ]
            if left or talking:
                await asyncio.sleep(_LOOK_EVERY_S)

    async def _has_ended(self, tenant: Tenant, part: Part) -> bool:
        fate = part.fate(tenant.profile)
        done = True
        for status in ("pending", "sending", "retrying"):
            waiting = await self._deliveries(tenant, part, status=status)
            if status == "retrying" and fate.held:
                for delivery in waiting:
                    await self._api.call(tenant.account["key"], "POST", f"/v1/deliveries/{delivery['id']}/cancel")
            elif waiting:
                done = False
        if done:
            await self._details(tenant, part, fate)  # while others are waited for; what changes is read again
        return done

    def _played(self) -> Iterable[tuple[Tenant, Part]]:
        return ((tenant, part) for tenant in self.tenants for part in PARTS if part.name in tenant.webhooks)

    # --- judging --------------------------------------------------------------------------------------------------

    async def _judge(self, tenant: Tenant, part: Part) -> Row:
        fate = part.fate(tenant.profile)
        path = _path(tenant.profile, part)
        return judge_webhook(
            profile=tenant.profile.name,
            part=part,
            fate=fate,
            webhook=await self._get(tenant, f"/v1/webhooks/{tenant.webhooks[part.name]['id']}"),
            expected=self._expected(tenant, part, fate),
            deliveries=await self._details(tenant, part, fate),
            arrivals=[arrival for arrival in self._inboxes[part.name].history if arrival.path == path],
        )

    async def _judge_chats(self, tenant: Tenant) -> Sequence[ChatRow]:
        expected = self._accepted_types[tenant.account["id"]]
        return await self.chats.judge(tenant.profile, tenant.account["key"], expected)

    def _expected(self, tenant: Tenant, part: Part, fate: Fate) -> Mapping[str, float]:
        types = self._accepted_types[tenant.account["id"]]
        patterns = _patterns(tenant.plan, part)
        taken = {
            id_: self._accepted[id_]
            for id_, name in types.items()
            if ("*" in patterns or name in patterns) and not (part.counted and id_ in self._triggered)
        }
        if fate.webhook != "active":
            first = min(taken, default=None)  # ids sort by time; later ones met a webhook that was stopped
            return {} if first is None else {first: taken[first]}
        return taken

    async def _checks(self) -> Sequence[Check]:
        repeated = _REPEATED * len(self.tenants)
        checks = [
            Check(
                "an event posted twice under one external id is accepted once",
                None
                if self._refused_duplicates == repeated
                else f"{self._refused_duplicates} of {repeated} were recognised",
            ),
            Check(
                "a copy with one byte changed does not verify; with a token, one of the token",
                self._forged(),
            ),
        ]
        checks += [
            Check(
                f"{tenant.profile.name}: a later event is kept, and says that its webhook was {stopped}",
                await self._why(tenant, stopped),
            )
            for tenant in self.tenants
            if (stopped := _gone_ends_as(tenant.profile)) != "active"
        ]
        checks += [
            Check(f"{tenant.profile.name}: webhook {most + 1} is one too many", await self._one_too_many(tenant, most))
            for tenant in self.tenants
            if (most := tenant.profile.limits.webhooks) is not None
        ]
        return checks

    def _told_of(self, chats: Sequence[ChatRow]) -> Check:
        wrong = [
            f"{tenant.profile.name}: {told} notices"
            for tenant in self.tenants
            if (rows := [row for row in chats if row.profile == tenant.profile.name])
            and (told := sum(row.notices for row in rows)) != (_gone_ends_as(tenant.profile) != "active")
        ]
        return Check("of each webhook that was stopped, one of the account's chats is told", "; ".join(wrong) or None)

    def _forged(self) -> str | None:
        for tenant in self.tenants:
            path = _path(tenant.profile, PARTS[0])
            arrival = next((one for one in self._inboxes[PARTS[0].name].history if one.path == path), None)
            if arrival is None:
                return f"nothing arrived for {tenant.profile.name}"
            secret = tenant.webhooks[PARTS[0].name]["secret"]
            headers, body = arrival.headers, arrival.body[:-2] + b"!" + arrival.body[-1:]
            if tenant.profile.shows_secret:
                other = secret[:-1] + ("a" if secret[-1] != "a" else "b")
                headers, body = tuple((name, other if text == secret else text) for name, text in headers), arrival.body
            if judge(headers, body, [secret]).verified:
                return f"that of {tenant.profile.name} does"
        return None

    async def _why(self, tenant: Tenant, stopped: str) -> str | None:
        types = self._accepted_types[tenant.account["id"]]
        last = max(id_ for id_, name in types.items() if name == tenant.plan.one_type)
        event = await self._get(tenant, f"/v1/events/{last}")
        gone = tenant.webhooks["gone"]["id"]
        reasons = [one["reason"] for one in event["routing"] if one["webhook_id"] == gone and not one["matched"]]
        if not reasons or f"it was {stopped}" not in reasons[0]:
            return f"{last} says {reasons}"
        return None if event["data"] else f"{last} has no data any more"

    async def _one_too_many(self, tenant: Tenant, most: int) -> str | None:
        asked = {"url": self._inboxes[PARTS[0].name].url("/more"), "events": ["*"], "enabled": False}
        key = tenant.account["key"]
        for _ in range(most - len(tenant.webhooks)):
            await self._api.call(key, "POST", "/v1/webhooks", asked)
        answer = await self._api.ask(key, "POST", "/v1/webhooks", asked)
        code = answer.json().get("code")
        return None if code == "webhook_limit" else f"it was answered {answer.status_code} {code}"

    # --- the API --------------------------------------------------------------------------------------------------

    async def _deliveries(self, tenant: Tenant, part: Part, **where: str) -> list[Mapping[str, Any]]:
        query = {"webhook": tenant.webhooks[part.name]["id"], **where}
        return await self._api.all(tenant.account["key"], "/v1/deliveries", query)

    async def _details(self, tenant: Tenant, part: Part, fate: Fate) -> list[Mapping[str, Any]]:
        """The deliveries, with their attempts where there should be several; read again if the list shows a change."""
        found = await self._deliveries(tenant, part)
        if len(fate.steps) == 1 and not fate.held:
            return found
        detailed = []
        for row in found:
            known = self._known.get(row["id"])
            if known is None or any(known[name] != value for name, value in row.items()):
                known = self._known[row["id"]] = await self._get(tenant, f"/v1/deliveries/{row['id']}")
            detailed.append(known)
        return detailed

    async def _get(self, tenant: Tenant, path: str) -> Any:
        return await self._api.get(tenant.account["key"], path)


def _gone_ends_as(profile: Profile) -> str:
    """The state of the webhook whose receiver answered 410."""
    return next(part.fate(profile).webhook for part in PARTS if part.name == "gone")


def _responder(part: Part) -> Callable[[Arrival], Any]:
    async def respond(arrival: Arrival) -> Reply | None:
        return part.reply(arrival)

    return respond


def _path(profile: Profile, part: Part) -> str:
    return f"/{profile.name}/{part.name.replace(' ', '-')}"


def _patterns(planned: Plan, part: Part) -> Iterable[str]:
    return {
        "everything": ("*",),
        "some": planned.some_types,
        "few": (planned.few_type,),
        "one": (planned.one_type,),
    }[part.share]
