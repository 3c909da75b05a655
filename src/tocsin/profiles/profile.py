"""The nouns: a profile and what it is made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tocsin.clock import Millis
from tocsin.model import EventType
from tocsin.profiles import secret_forms
from tocsin.profiles.envelopes import Envelope
from tocsin.profiles.facts import Facts
from tocsin.profiles.messages import Messages
from tocsin.profiles.schemas import SchemaValidator
from tocsin.profiles.signatures import SignatureSpec, Signer


class CatalogueEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An event type, ready for use. `visitor_pointer`: the keys that lead through `data` to the visitor's id."""

    event_type: EventType
    validator: SchemaValidator
    visitor_pointer: tuple[str, ...] | None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """`webhooks`: how many an account may have; None: any number."""

    webhooks: int | None
    https_only: bool


class DisablePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When a webhook is disabled without its owner's doing."""

    on_exhausted: bool  # when a delivery has used up its schedule and no other to that webhook succeeded meanwhile
    failing_for_s: float | None  # after an unbroken run of failures this long
    warn_at_s: tuple[float, ...]  # how far into such a run its owner is warned
    gone_disables: bool  # at once, on 410


class TriggerTables(msgspec.Struct, frozen=True, kw_only=True):
    """``triggers.toml`` as it stands; `tocsin.triggers.firing` reads and checks it. No tables: nothing is fired."""

    file: str
    tables: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profile:
    """A dialect. One object a process; made by `load`."""

    name: str
    title: str
    document: str  # where its figures come from
    catalogue: Mapping[str, CatalogueEntry]
    schedule_s: tuple[float, ...]  # N delays: N retries, each counted from the end of the attempt before
    timeout_s: float  # from connect to the answer's end or its 16th KiB
    limits: Limits
    disable: DisablePolicy
    custom_event_types: bool
    key_prefix: str  # of its accounts' API keys
    own_headers: frozenset[str]  # lower-case names that users may not set, whatever the options
    signs_with_both: bool  # while an old secret still counts: with both; else with the first one given
    shows_secret: bool  # a webhook's secret itself may travel in a header
    mask_ips: bool  # bodies show IP addresses masked, see `masking`, unless the account says otherwise
    triggers: TriggerTables
    messages: Messages  # what people are told of its events, and where in their data it stands
    _envelope: Envelope = field(repr=False)
    _signer: Signer = field(repr=False)
    _secret: secret_forms.SecretSpec = field(repr=False)

    @property
    def signature(self) -> SignatureSpec:
        """How it signs, for those who verify."""
        return self._signer.spec

    @property
    def may_be_unsigned(self) -> bool:
        """Whether a webhook may do without a secret."""
        return not self._secret.made

    @property
    def envelope_keys(self) -> tuple[str, ...]:
        """Those that it puts around the data, at the top of each body, in their order."""
        return self._envelope.keys

    @property
    def body_outline(self) -> str:
        """What a body looks like, for people; ``DATA`` is the event's data."""
        return self._envelope.outline

    @property
    def further_headers(self) -> tuple[str, ...]:
        """Those that it sends beside ``Webhook-Id`` and the signature's."""
        return self._signer.further_headers

    def key_of(self, source: str) -> str | None:
        """The key, at the top of its bodies, that carries one of `facts.TEXTS`."""
        return self._envelope.key_of(source)

    def header_of(self, source: str) -> str | None:
        """The header that carries one of `facts.TEXTS`."""
        return self._signer.header_of(source)

    def render_body(self, facts: Facts) -> bytes:
        """The body, the same for every attempt."""
        return self._envelope.render(facts)

    def sign(
        self, facts: Facts, body: bytes, secrets: Sequence[str], at: Millis, options: Mapping[str, object]
    ) -> tuple[tuple[str, str], ...]:
        """All of the dialect's headers for the attempt that starts `at`.

        Args:
            facts: what `body` was rendered from.
            body: the exact bytes that are sent.
            secrets: the one that counts first; empty where there is none. A second one signs as well where
                `signs_with_both`.
            at: goes into signatures that carry a timestamp, in seconds.
            options: the webhook's, as its settings hold them.
        """
        return self._signer.headers(facts, body, secrets, at, options)

    def make_secret(self, random_bytes: Callable[[int], bytes]) -> str | None:
        """A new secret, or None where the dialect does without unless the user gives one."""
        return secret_forms.make(self._secret, random_bytes)

    def check_secret(self, text: str) -> None:
        """Takes a user's own secret.

        Raises:
            Invalid: `secret_invalid`, with how to mend it.
        """
        secret_forms.check(self._secret, text)

    def take_token(
        self, headers: Mapping[str, str | None], options: Mapping[str, object]
    ) -> tuple[dict[str, str | None], tuple[str, str] | None]:
        """Parts a webhook's own headers from the token that is given as one of them, where the dialect allows that.

        Returns:
            The other headers, and the token's header, as it was spelled, with its value.

        Raises:
            Invalid: `header_refused`: this webhook sends no token, or two are given.
        """
        return self._signer.take_token(headers, options)

    def signs_in(self, options: Mapping[str, object]) -> tuple[str, str]:
        """The header and the scheme of a webhook with these options; no header where the scheme has its own."""
        return self._signer.chosen(options)

    @property
    def option_names(self) -> frozenset[str]:
        """Those of a webhook's options that the dialect gives a meaning."""
        return self._signer.option_names

    def check_options(self, options: Mapping[str, object]) -> None:
        """Takes those of a webhook's options that the dialect gives a meaning; passes over the others.

        Raises:
            Invalid: `option_invalid`, with a pointer.
        """
        self._signer.check_options(options)
