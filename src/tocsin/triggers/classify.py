"""What is derived of a visitor and a visit where it was not supplied."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from tocsin.profiles.countries import country_name
from tocsin.triggers.activity import AddressFacts, AgentFacts
from tocsin.triggers.traffic_sources import traffic_source

_MAX_PARAMS = 100  # of an address
_MAX_NAME = 256


def complete_visitor(visitor: dict[str, Any], address: AddressFacts | None, agent: AgentFacts | None) -> None:
    """Fills in device, os, browser (each with what belongs to it) and country."""
    if agent is not None:
        if agent.device is not None:
            visitor.setdefault("device", agent.device)
        if agent.os is not None and "os" not in visitor:
            visitor["os"] = agent.os
            _set(visitor, "os_version", agent.os_version)
        if agent.browser is not None and "browser" not in visitor:
            visitor["browser"] = agent.browser
            _set(visitor, "browser_version", agent.browser_version)
            _set(visitor, "browser_vendor", agent.vendor)
    if address is not None and address.country is not None:
        visitor.setdefault("country", address.country)
    if (country := visitor.get("country")) is not None:
        _set(visitor, "country_name", country_name(country))


def complete_visit(visit: dict[str, Any], visitor: Mapping[str, Any], agent: AgentFacts | None) -> None:
    """Fills in params, device and traffic_source."""
    if "params" not in visit and (params := parameters(visit["url"])):
        visit["params"] = params
    device = dict(visit.get("device") or {})
    _set(device, "type", visitor.get("device"))
    _set(device, "model", None if agent is None else agent.model)
    if (os := visitor.get("os")) is not None:
        version = visitor.get("os_version")
        _set(device, "os", f"{os} {version}" if isinstance(version, str) and version else os)
    if device:
        visit["device"] = device
    if "traffic_source" not in visit:
        visit["traffic_source"] = traffic_source(visit["url"], visit.get("params") or {}, visit.get("referrer"))


def parameters(url: str) -> dict[str, str]:
    """Of an address, by name; of a repeated one the first, as `URLSearchParams.get` gives it; 100 at most."""
    query = url.partition("#")[0].partition("?")[2]
    found: dict[str, str] = {}
    pairs = "&".join(query.split("&", _MAX_PARAMS)[:_MAX_PARAMS])
    for name, value in parse_qsl(pairs, keep_blank_values=True):
        if 0 < len(name) <= _MAX_NAME:
            found.setdefault(name, value)
    return found


def _set(into: dict[str, Any], name: str, value: str | None) -> None:
    if value is not None:
        into.setdefault(name, value)
