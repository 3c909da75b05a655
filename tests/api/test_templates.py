"""Templates through the API: refused when they are saved, seen in previews."""

from tests.api.site import LocalShop

SLACK = "https://hooks.slack.com/services/T00000000/B00000000/aaaaaaaaaaaaaaaaaaaaaaaa"


def _asked(**templates: object) -> dict[str, object]:
    return {"url": SLACK, "channel": "slack", "events": ["*"], "options": {"templates": templates}}


def test_a_template_is_seen_in_a_preview_of_each_chat(shop: LocalShop) -> None:
    """The webhook's own words, in its own channel and beside it in the others."""
    template = {"title": "Sold!", "text": "**{{ campaign }}** brought {{ payout|money }}"}
    hook = shop.post("/v1/webhooks", _asked(**{"conversion.*": template}))["id"]
    made = shop.post(f"/v1/webhooks/{hook}/preview", {"type": "conversion.created"})
    for body in (made["body"], *(made["chats"][name] for name in ("slack", "telegram", "discord"))):
        assert "Sold!" in body
        assert "brought" in body
    made = shop.post(f"/v1/webhooks/{hook}/preview", {"type": "click.created"})
    assert "brought" not in made["body"]


def test_a_broken_template_is_refused_with_its_place(shop: LocalShop) -> None:
    """The pattern, the part and the line; when it is made and when it is changed."""
    broken = {"conversion.*": {"title": "{{ campain }}", "text": "one\n{{ payout|mony }}"}}
    refused = shop.call("POST", "/v1/webhooks", _asked(**broken))
    assert (refused.status, refused.code) == (422, "option_invalid")
    assert [(error["pointer"], error["detail"]) for error in refused.json["errors"]] == [
        ("/options/templates/conversion.*/title", "line 1: no detail is called campain: did you mean 'campaign'?"),
        ("/options/templates/conversion.*/text", "line 2: there is no filter mony: did you mean 'money'?"),
    ]
    hook = shop.post("/v1/webhooks", _asked())["id"]
    refused = shop.call("PATCH", f"/v1/webhooks/{hook}", {"options": {"templates": broken}})
    assert (refused.status, refused.code) == (422, "option_invalid")
