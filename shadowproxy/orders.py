"""``shadowproxy promote``: a person's orders to whoever moves traffic, a judge or a ``serve`` that judges alone, over its admin surface."""

from __future__ import annotations

from typing import Any

import aiohttp
import orjson
import yaml

from shadowproxy.config import Config, Promotion
from shadowproxy.errors import ConfigError, ConfigProblem, ShadowproxyError
from shadowproxy.promote.argo_cd import ignore_differences
from shadowproxy.promote.building import shape_of

_TIMEOUT_S = 30.0


async def give(settings: Config, candidate: str, order: str) -> str:
    """Send the order; returns in words where that leaves the promotion. Raises :class:`ShadowproxyError` with what is said there."""
    _promotion(settings, candidate)
    who, address = ("judge", settings.judge.listen) if settings.judge.has_source else ("serve", settings.admin.listen)
    connector = aiohttp.UnixConnector(address[5:]) if address.startswith("unix:") else None
    base = "http://localhost" if connector is not None else f"http://{address}"
    headers = {"authorization": f"Bearer {settings.admin.token.secret()}"} if settings.admin.token else {}
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
            session.post(f"{base}/promotion/{candidate}/{order}", headers=headers) as reply,
        ):
            answer: dict[str, Any] = orjson.loads(await reply.read())
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as exc:
        raise ShadowproxyError(f"no {who} answers at {address} ({type(exc).__name__}); is shadowproxy {who} running there?") from exc
    if reply.status != 200:
        refused = answer.get("error") or {}
        raise ShadowproxyError("; ".join(str(refused[key]) for key in ("message", "remedy") if refused.get(key)))
    return f"{candidate}: {answer.get('phase', 'not begun')}, {answer.get('percent', 0)} % of the traffic; {answer.get('because', '')}"


def ignore_differences_of(settings: Config, candidate: str) -> str:
    """The block of an Argo CD Application that leaves to us what we change, as YAML."""
    shape = shape_of(_promotion(settings, candidate).target, "")
    if shape is None:
        raise ShadowproxyError(f"{candidate}: its router changes no object in the cluster, so Argo CD has nothing to ignore")
    return yaml.safe_dump(ignore_differences(shape), sort_keys=False)


def _promotion(settings: Config, candidate: str) -> Promotion:
    found = next((each for each in settings.promotions if each.candidate == candidate), None)
    if found is None:
        known = ", ".join(each.candidate for each in settings.promotions) or "none"
        raise ConfigError((ConfigProblem("promotions", candidate, "has no promotion", f"promotions are configured for: {known}"),))
    return found
