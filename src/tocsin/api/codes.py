"""Every code that an answer can carry: one per cause, stable, each with a page at ``/docs/errors/{code}``.

``docs/reference/errors.md`` is `markdown()`; a test holds them together, and holds every code in the source to this
list.
"""

from collections.abc import Mapping

import msgspec

DOCS_PATH = "/docs/errors/"


class Cause(msgspec.Struct, frozen=True):
    """`title` says what happened, the same each time; `mend` what to do about it."""

    status: int
    title: str
    meaning: str
    mend: str


CODES: Mapping[str, Cause] = {
    # --- the request itself ---------------------------------------------------------------------------------------
    "malformed_json": Cause(
        400,
        "The body is no JSON",
        "The body could not be read as one JSON value in UTF-8.",
        "The detail says where reading stopped. Send one JSON object, without a byte order mark.",
    ),
    "malformed_request": Cause(
        400,
        "The request cannot be read",
        "The query string, a header or the transfer of the body is broken.",
        "The detail says which part. Percent-encode the query as UTF-8.",
    ),
    "body_incomplete": Cause(
        400,
        "The body did not arrive in time",
        "A request's body must be there within 30 seconds.",
        "Repeat the request; cut a batch into smaller ones where the line is slow.",
    ),
    "account_required": Cause(
        400,
        "No account is named",
        "An operator's key belongs to no account, and this call works on one.",
        "Name the account in the header Tocsin-Account: acc_…, or use one of the account's own keys.",
    ),
    "rejected": Cause(
        400,
        "The request cannot be carried out",
        "The request cannot be carried out as it is; nothing was changed.",
        "The detail says why.",
    ),
    # --- who may --------------------------------------------------------------------------------------------------
    "missing_key": Cause(
        401,
        "No API key was given",
        "The call needs an API key, and the request has none.",
        "Send the header Authorization: Bearer, followed by the key.",
    ),
    "unknown_key": Cause(
        401,
        "The API key is not valid",
        "No key like this exists, or it was revoked.",
        "Check that the whole key was copied. A lost key cannot be shown again: make a new one.",
    ),
    "missing_scope": Cause(
        403,
        "The key's scopes do not allow this",
        "Keys carry scopes: publish (send events), manage (change settings), read.",
        "Use a key with the scope that the detail names.",
    ),
    "operator_only": Cause(
        403,
        "Only the operator may do this",
        "Accounts are made, listed, given an external_id and removed by the operator of the server.",
        "Use the operator's key.",
    ),
    "wrong_profile": Cause(
        403,
        "The address is for accounts of another profile",
        "What is below /api/public and /api/v1 stands in for one vendor's interface each, and serves accounts of that "
        "profile only.",
        "Use /v1, which serves every account, or the key of an account of the profile that the detail names.",
    ),
    # --- not there ------------------------------------------------------------------------------------------------
    "not_found": Cause(
        404,
        "There is no such thing",
        "No route, or nothing of that id in this account. Another account's things are answered the same way.",
        "Check the address, the id, and that the key belongs to the right account.",
    ),
    "not_served_here": Cause(
        404,
        "The process is a worker",
        "Of the processes that share a database those with the role worker send, and answer only probes.",
        "Ask a process whose role is api or all; put only those behind the load balancer.",
    ),
    "method_not_allowed": Cause(
        405,
        "The method is not allowed here",
        "The address exists, but not with this method.",
        "The header Allow lists the methods that there are.",
    ),
    # --- in the way -----------------------------------------------------------------------------------------------
    "conflict": Cause(
        409,
        "Something is in the way",
        "The request fits, but not the present state of what it is about.",
        "The detail says what is in the way.",
    ),
    "external_id_conflict": Cause(
        409,
        "The external_id was used for other content",
        "An external_id stands for one event of the account, for 30 days. The same content again is answered as a "
        "duplicate; other content is refused.",
        "Give new content a new external_id.",
    ),
    "conversion_conflict": Cause(
        409,
        "The conversion_id is another conversion's",
        "A conversion is known by its conversion_id for 90 days. The same one posted again changes nothing, with "
        "another status it changes its status; with another payout, revenue, currency or offer it is refused.",
        "Give another conversion another conversion_id. Amounts that were recorded stay.",
    ),
    "external_id_taken": Cause(
        409,
        "The external_id belongs to another account",
        "An account's external_id is unique on the server.",
        "Choose another, or find the account that has it.",
    ),
    "webhook_limit": Cause(
        409,
        "The account has as many webhooks as it may",
        "Some profiles bound the number of webhooks; clickdefender takes five a property.",
        "Delete a webhook that is no longer needed.",
    ),
    "alerts_unsupported": Cause(
        409,
        "The account's dialect has no event for alerts",
        "An alert tells by an event of its own, and the document of this profile names none.",
        "Use an account of another profile, such as standard or cloakradar; backtests work in every profile.",
    ),
    "alert_limit": Cause(
        409,
        "The account has as many alerts as it may",
        "An account has at most 100 alerts: every activity is compared with each.",
        "Delete an alert that is no longer needed; one without a campaign watches all of them.",
    ),
    "event_type_limit": Cause(
        409,
        "The account has as many event types as it may",
        "An account can have 500 event types of its own.",
        "Delete one that is no longer needed.",
    ),
    "event_type_reserved": Cause(
        409,
        "The event type belongs to the profile",
        "What the profile's catalogue holds cannot be redefined or removed, and names that begin with tocsin. are "
        "Tocsin's own.",
        "Choose another name.",
    ),
    "catalogue_fixed": Cause(
        409,
        "The profile's catalogue is fixed",
        "Only accounts of the profile standard can have event types of their own.",
        "Use the profile's event types, or an account of the profile standard.",
    ),
    "webhook_disabled": Cause(
        409,
        "The webhook is not active",
        "Deliveries of a disabled or failed webhook are held, and cannot be retried by hand.",
        "Enable the webhook first; status_reason says why it stopped.",
    ),
    "webhook_gone": Cause(
        409,
        "The webhook was deleted",
        "The delivery's webhook no longer exists, so there is no address to send to.",
        "Make a new webhook for what comes.",
    ),
    "attempt_under_way": Cause(
        409,
        "An attempt is under way",
        "The delivery is being sent at this moment.",
        "Look at it again when the attempt has ended, at most the profile's time limit later.",
    ),
    "not_retryable": Cause(
        409,
        "The delivery can no longer be sent",
        "Its event's body was removed by retention, or it was folded into a digest.",
        "Publish the event anew if it is still needed.",
    ),
    "already_ended": Cause(
        409,
        "The delivery has already ended",
        "Only a delivery that still waits can be cancelled.",
        "Nothing needs to be done: it will not be sent again.",
    ),
    "body_gone": Cause(
        409,
        "The event's body is no longer kept",
        "Retention removes bodies after a time; the event's record stays longer.",
        "Name a newer event, or a type to use its example.",
    ),
    "no_rotation": Cause(
        409,
        "No rotation is under way",
        "There is no old secret beside the present one.",
        "Nothing needs to be done; call rotate-secret to begin a rotation.",
    ),
    "not_signed": Cause(
        409,
        "The channel does not sign",
        "Only webhooks of the channel standard sign, and have a secret.",
        "Nothing needs to be done: what a chat gets is trusted for its address, which is kept secret.",
    ),
    "not_confirmed": Cause(
        409,
        "The address is not confirmed yet",
        "An e-mail webhook sends nothing until whoever reads at its address has agreed, and nothing more once they "
        "have unsubscribed.",
        "Follow the link in the mail that went there, or give its code to POST /v1/webhooks/{id}/confirm; without a "
        "code that sends the mail again.",
    ),
    "no_confirmation": Cause(
        409,
        "Nobody needs to be asked",
        "The webhook's address is confirmed, or its channel asks for no confirmation.",
        "Nothing needs to be done; enable the webhook if it is disabled.",
    ),
    "confirmation_paced": Cause(
        409,
        "An address was asked a moment ago",
        "Confirmations go to people who have asked for nothing: one a minute for a webhook, twenty an hour for an "
        "account.",
        "Wait, and look for the first mail among the spam.",
    ),
    "key_in_use": Cause(
        409,
        "The key is the one that you ask with",
        "An operator's key cannot revoke itself: the operator would be locked out.",
        "Make another operator's key and revoke this one with it.",
    ),
    "changed_meanwhile": Cause(
        409,
        "It was changed meanwhile",
        "Somebody else kept changing the same thing at the same moment.",
        "Read it again and repeat the change.",
    ),
    "idempotency_running": Cause(
        409,
        "The first request with this Idempotency-Key is still running",
        "The same request came twice; the first has not been answered yet.",
        "Repeat it in a moment: the answer of the first will be given.",
    ),
    # --- too much -------------------------------------------------------------------------------------------------
    "body_too_large": Cause(
        413,
        "The body is too large",
        "Bodies may have 1 MiB (1,048,576 bytes), batches of events 8 MiB.",
        "Cut a batch into smaller ones; keep large content elsewhere and send its address.",
    ),
    # --- wrong values ---------------------------------------------------------------------------------------------
    "invalid": Cause(
        422,
        "Values are at fault",
        "The request was read, but some of its values cannot be taken.",
        "Each entry of errors points to one value (a JSON pointer into the body, or ?name for the query) and says why.",
    ),
    "unknown_event_type": Cause(
        422,
        "There is no such event type",
        "The account's catalogue holds no event type, or none of that family.",
        "GET /v1/event-types lists them, errors names the nearest; PUT /v1/event-types/{name} adds one of your own.",
    ),
    "data_invalid": Cause(
        422,
        "The JSON cannot be taken as it is",
        "An event's data does not fit the schema of its type, or holds what cannot pass every receiver unaltered: "
        "duplicate keys, integers beyond ±(2^53−1), NaN, lone surrogates, nesting beyond 128.",
        "Each entry of errors points to one value. Send large integers as strings.",
    ),
    "unknown_conversion": Cause(
        422,
        "There is no such conversion",
        "A change of status names a conversion_id that was never recorded, or not within 90 days of its last change.",
        "Post the conversion first.",
    ),
    "currency_mismatch": Cause(
        422,
        "The amount is of another currency",
        "What a campaign spends is added up in one currency: the first that was named for it.",
        "Convert the amount, or use a campaign for each currency.",
    ),
    "unstorable": Cause(
        422,
        "The event cannot be stored",
        "The database refuses this very event. Others are not concerned.",
        "The detail says why.",
    ),
    "event_type_name": Cause(
        422,
        "That is no name for an event type",
        "Names are snake_case parts joined by dots, at most 128 characters.",
        "Choose a name such as order.paid.",
    ),
    "schema_invalid": Cause(
        422,
        "The schema is not valid",
        "It must be JSON Schema 2020-12, of bounded size, that refers to nothing outside itself.",
        "Each entry of errors points to one place. Put what is referred to into $defs.",
    ),
    "example_invalid": Cause(
        422,
        "The example does not fit the schema",
        "Examples are sent by tests of webhooks, so they must be valid events.",
        "Each entry of errors points to one value of the example.",
    ),
    "unknown_macro": Cause(
        422,
        "A macro is unknown",
        "A postback's address has a macro that no event could fill in, so that its receiver would never be told.",
        "The detail names the nearest ones. The reference of the channels lists all of them.",
    ),
    "url_refused": Cause(
        422,
        "The address is refused",
        "Webhooks go to public https addresses on usual ports. Private, local and reserved networks are refused, in "
        "every spelling, and so are names that resolve into them.",
        "Use a public https address. For development the operator can set TOCSIN_ALLOW_HTTP and TOCSIN_ALLOW_NETWORKS.",
    ),
    "filter_invalid": Cause(
        422,
        "The filter is not valid",
        "A filter is one CEL expression over event and data that is true or false, bounded in cost.",
        'The detail says where it breaks. An example: event.type == "click.created" && data.visitor.country == "DE".',
    ),
    "header_refused": Cause(
        422,
        "A custom header is refused",
        "At most 20 headers; not those that frame the request, sign it, or belong to the connection.",
        "Each entry of errors names one header and why.",
    ),
    "code_invalid": Cause(
        422,
        "The code confirms nothing",
        "It is not one that was sent to this webhook's present address, or it is older than a week.",
        "Copy the code or the link from the newest mail; POST /v1/webhooks/{id}/confirm without a code sends another.",
    ),
    "option_invalid": Cause(
        422,
        "An option cannot be taken",
        "Options belong to the account's profile and the webhook's channel; others are refused, not ignored.",
        "Each entry of errors points to one option and says which there are, or what it may be.",
    ),
    "secret_invalid": Cause(
        422,
        "The secret does not have the profile's form",
        "standard: whsec_ and 24 to 64 random bytes in base64. The others: up to 256 visible ASCII characters.",
        "Leave it out to have one made.",
    ),
    "idempotency_key_invalid": Cause(
        422,
        "The Idempotency-Key cannot be taken",
        "Keys have 1 to 255 visible ASCII characters.",
        "Use a UUID.",
    ),
    "idempotency_key_reused": Cause(
        422,
        "The Idempotency-Key was used for another body",
        "A key stands for one request to one route of the account, for 24 hours.",
        "Use a new key for a new request.",
    ),
    # --- later ----------------------------------------------------------------------------------------------------
    "internal": Cause(
        500,
        "Something went wrong in the server",
        "An error that nobody expected. It is in the server's log under the request_id.",
        "Repeat the request with an Idempotency-Key; tell the operator the request_id if it stays.",
    ),
    "unavailable": Cause(
        503,
        "The server cannot answer now",
        "Nothing was changed.",
        "Repeat the request after the time in the header Retry-After.",
    ),
    "overloaded": Cause(
        503,
        "More is coming in than can be stored",
        "The queue of events is full. Nothing of this request was taken.",
        "Repeat it after the time in the header Retry-After.",
    ),
    "stopping": Cause(
        503,
        "The server is stopping",
        "Nothing of this request was taken.",
        "Repeat it after the time in the header Retry-After.",
    ),
    "store_unavailable": Cause(
        503,
        "The database does not answer",
        "Nothing was changed.",
        "Repeat the request after the time in the header Retry-After; /readyz tells when it is back.",
    ),
    "profile_missing": Cause(
        503,
        "The account's profile is not there",
        "The account speaks a dialect that this server was started without. Nothing was changed, and what waits for "
        "its webhooks goes on waiting.",
        "The operator starts the server with the folder of that dialect (TOCSIN_PROFILES); then repeat the request.",
    ),
    "commit_unknown": Cause(
        503,
        "It is unknown whether it was stored",
        "The database failed at the moment of the commit.",
        "Repeat the request: an external_id, or an Idempotency-Key, keeps it from being taken twice.",
    ),
    "not_owner": Cause(
        503,
        "The process was taken for dead",
        "It could not say in time that it lives, so others have taken its work over. Nothing was changed.",
        "Repeat the request after the time in the header Retry-After: the process comes back by itself.",
    ),
}

# Codes of errors that stop the start and never reach an answer.
INTERNAL_ONLY = frozenset({"misconfigured"})


def markdown() -> str:
    """The reference page: a section per code."""
    lines = [
        "# Errors",
        "",
        "<!-- Written by `python -m tocsin.api.codes`; a test compares. -->",
        "",
        "Every error is answered as `application/problem+json` (RFC 9457) with `type`, `title`, `status`, `detail`,",
        "`code`, `request_id` and, where single values are at fault, `errors` with a `pointer` and a `detail` each: a",
        "JSON pointer (RFC 6901) into the body, or `?name` for a parameter of the query. `code` is stable; `detail` is",
        "for people and may change. `type` leads to the code's page on the server itself. Below `/api` the same codes",
        "come in [another form](compatibility.md#errors).",
        "",
    ]
    for code, cause in CODES.items():
        lines += [f"## {code}", "", f"{cause.status}: {cause.title}.", "", f"{cause.meaning} {cause.mend}", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201 - that is what it is for
