"""The admin surface over HTTP: health, metrics, counts, verdicts, latest pairs, and a page for people.

The supervisor hosts it, on its own port or Unix socket; nothing of it is on the client's path. It asks an
:class:`~shadowproxy.admin.state.AdminState` and keeps nothing.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from aiohttp import web

from shadowproxy.admin import access, asked, metrics
from shadowproxy.admin.access import Access
from shadowproxy.admin.page import Page
from shadowproxy.admin.replies import JSON, bad_request, document, error, error_body
from shadowproxy.admin.state import AdminState, Document, Health, JudgeState, PromotionState
from shadowproxy.counts import METRICS
from shadowproxy.errors import RouterBusy, RouterRefused, ShadowproxyError, StartError
from shadowproxy.promote.phases import ORDERS, Order
from shadowproxy.redaction.masking import redact_document
from shadowproxy.sockets import address_of, bind

__all__ = ["ENDPOINTS", "JUDGE_ENDPOINTS", "AdminState", "Health", "JudgeState", "Surface", "build", "build_judge", "serve"]

#: Path → one line of documentation. Shown to whoever asks for something else.
ENDPOINTS: Mapping[str, str] = MappingProxyType(
    {
        "/": "a page for people: health, verdicts, what was not mirrored, latest pairs",
        "/healthz": "200 while the process works, else 503; needs no token",
        "/readyz": "200 while clients may be sent here, else 503 with the reasons; needs no token",
        "/metrics": "Prometheus text, or OpenMetrics where Accept asks for it",
        "/counts": "the counts behind /metrics as JSON",
        "/verdict": "verdicts of all rollouts; ?rollout=NAME_OR_ID for the document of one",
        "/verdict/number": "for a web metric: verdict 1, 0 or -1 for promote, hold or rollback; ?rollout=NAME_OR_ID",
        "/flagger/{hook}": "POST by Flagger: up to 202 is yes, 409 is no or not yet; needs no token, and changes nothing",
        "/verdict/history": "changes of state and samples in between, newest first; ?limit=1..1000 ?rollout=NAME_OR_ID",
        "/reload": "POST: read the configuration again; 409 with the reason where the old one stays",
        "/mirroring": "POST ?on=true|false: the kill switch; nothing is mirrored while it is off",
        "/pairs": "latest pairs side by side, redacted; ?limit=1..1000 ?rollout=NAME_OR_ID ?redact=false",
        "/promotion": "where each candidate's promotion stands: phase, share of the traffic, what it waits for",
        "/promotion/{candidate}/{order}": "POST: approve, pause, resume or abort; 409 where that makes no sense, 503 to try again later",
    }
)

_OF_SERVE_ALONE = ("/", "/counts", "/reload", "/mirroring", "/pairs")

#: What ``shadowproxy judge`` has of these: it serves no clients and keeps no pairs.
JUDGE_ENDPOINTS: Mapping[str, str] = MappingProxyType({path: about for path, about in ENDPOINTS.items() if path not in _OF_SERVE_ALONE})

#: Pairs, or entries of the history, in one reply. A pair may carry 100 kB of text, and all of it is searched for what must not be shown.
_MOST_SHOWN = 1000

#: At the end, how long replies on their way may take.
_SHUTDOWN_S = 2.0

_HAS_TOKEN = web.AppKey("has_token", bool)


def build(state: AdminState, token: str | None) -> web.Application:
    """The application. With a ``token`` every path but the probes asks for it; without one only known hosts are answered."""
    page = Page.load()
    rule = Access(token, page.reply)
    handlers = _Handlers(state, rule, page)
    routes = [
        web.get("/", handlers.page),
        web.get("/counts", handlers.counts),
        web.get("/pairs", handlers.pairs),
        web.post("/reload", handlers.reload),
        web.post("/mirroring", handlers.mirroring),
    ]
    return _application(rule, ENDPOINTS, [*_judge_routes(handlers), *routes])


def build_judge(state: PromotionState, token: str | None) -> web.Application:
    """The application of a process that judges and does nothing else: :data:`JUDGE_ENDPOINTS`, by the same rules."""
    rule = Access(token, lambda: error(401, "this needs the admin token", "send the header Authorization: Bearer TOKEN"))
    return _application(rule, JUDGE_ENDPOINTS, _judge_routes(_JudgeHandlers(state)))


def _application(rule: Access, endpoints: Mapping[str, str], routes: Sequence[web.RouteDef]) -> web.Application:
    app = web.Application(middlewares=[access.speak_json(endpoints), rule.middleware()])
    app[_HAS_TOKEN] = rule.token is not None
    app.on_response_prepare.append(access.harden)
    app.add_routes(routes)
    return app


def _judge_routes(handlers: _JudgeHandlers) -> list[web.RouteDef]:
    return [
        web.get("/healthz", handlers.healthz),
        web.get("/readyz", handlers.readyz),
        web.get("/metrics", handlers.metrics),
        web.get("/verdict", handlers.verdict),
        web.get("/verdict/number", handlers.number),
        web.get("/verdict/history", handlers.history),
        web.post("/flagger/{hook}", handlers.flagger),
        web.get("/promotion", handlers.promotions),
        web.post("/promotion/{candidate}/{order}", handlers.order),
    ]


class Surface:
    """A served application. ``address`` is where: ``host:port`` or ``unix:/path``."""

    def __init__(self, runner: web.AppRunner, address: str, own_file: Path | None) -> None:
        self._runner = runner
        self._own_file = own_file
        self.address = address

    def __repr__(self) -> str:
        return f"<Surface {self.address}>"

    async def close(self) -> None:
        """Stop listening, let replies on their way end, leave no socket file that we made."""
        await self._runner.cleanup()
        if self._own_file is not None:
            self._own_file.unlink(missing_ok=True)


async def serve(app: web.Application, listen: str | socket.socket) -> Surface:
    """Serve ``app`` (from :func:`build`) at ``host:port``, at ``unix:/path``, or on a listening socket, which is then ours to close.

    Raises :class:`StartError` where that address is taken, and where it is open to others while the surface has no token.
    """
    sock = bind(listen, 1)[0] if isinstance(listen, str) else listen
    address = address_of(sock)
    if not app[_HAS_TOKEN] and not access.is_local(sock.getsockname()):
        sock.close()
        raise StartError(f"the admin surface on {address} would be open to everyone; set admin.token, or listen on 127.0.0.1")
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    is_own_file = isinstance(listen, str) and listen.startswith("unix:")
    return Surface(runner, address, Path(address.removeprefix("unix:")) if is_own_file else None)


class _JudgeHandlers:
    """One method per endpoint of whoever judges, and may move traffic."""

    def __init__(self, state: PromotionState) -> None:
        self._judge = state
        self._registry = metrics.registry(state)

    async def healthz(self, _: web.Request) -> web.Response:
        health = self._judge.health()
        return document({"alive": health.alive}, 200 if health.alive else 503)

    async def readyz(self, _: web.Request) -> web.Response:
        health = self._judge.health()
        return document({"ready": health.ready, "reasons": health.reasons}, 200 if health.ready else 503)

    async def metrics(self, request: web.Request) -> web.Response:
        body, content_type = metrics.exposition(self._registry, request.headers.get("accept", ""))
        return web.Response(body=body, headers={"content-type": content_type})

    async def verdict(self, request: web.Request) -> web.Response:
        asked = _parameters(request, "rollout").get("rollout")
        documents = self._judge.verdicts()
        if asked is not None:
            return document(_one(documents, asked))
        single = {"state": documents[0]["state"]} if len(documents) == 1 else {}
        return document({**single, "verdicts": documents})

    async def number(self, request: web.Request) -> web.Response:
        name = _parameters(request, "rollout").get("rollout")
        found = asked.find(self._judge.verdicts(), name)
        return document(asked.measurement(found if found is not None else _one(self._judge.verdicts(), name or "")))

    async def flagger(self, request: web.Request) -> web.Response:
        hook = request.match_info["hook"]
        if hook not in asked.HOOKS:
            return error(404, f"there is no hook {hook!r}", f"hooks are {', '.join(asked.HOOKS)}")
        try:
            call = asked.read_call(await request.read())
        except ValueError as exc:
            return error(400, str(exc), "see the webhooks of the Canary")
        found = asked.find(self._judge.verdicts(), call.rollout)
        if found is None:  # no list of those that exist: whoever asks may hold no token
            return error(404, f"{call.canary}: no such rollout", "set metadata.rollout to a candidate's name or a rollout id")
        status, told = asked.answer(hook, call, found)
        return document(told, status)

    async def history(self, request: web.Request) -> web.Response:
        parameters = _parameters(request, "limit", "rollout")
        asked = parameters.get("rollout")
        entries = self._judge.history(_limit(parameters.get("limit", "20")), asked)
        if not entries and asked is not None:
            _one(self._judge.verdicts(), asked)  # one that is judged may have none yet; another is unknown
        return document({"history": entries})

    async def promotions(self, _: web.Request) -> web.Response:
        return document({"promotions": self._judge.promotions()})

    async def order(self, request: web.Request) -> web.Response:
        candidate, order = request.match_info["candidate"], request.match_info["order"]
        if order not in ORDERS:
            return error(404, f"there is no order {order!r}", f"orders are {', '.join(ORDERS)}")
        try:
            return document(await self._judge.order(candidate, Order(order)))
        except KeyError:
            known = ", ".join(self._judge.promotions()) or "none"
            return error(404, f"nobody moves traffic to {candidate!r}", f"promotions are configured for: {known}")
        except RouterRefused as exc:
            return error(409, str(exc).removesuffix(f"; {exc.remedy}"), exc.remedy)
        except RouterBusy as exc:
            reply = error(503, str(exc), f"try again in {exc.delay_s:g} s")
            reply.headers["retry-after"] = str(math.ceil(exc.delay_s))
            return reply


class _Handlers(_JudgeHandlers):
    """One method per endpoint of ``serve``."""

    def __init__(self, state: AdminState, rule: Access, page: Page) -> None:
        super().__init__(state)
        self._state = state
        self._rule = rule
        self._page = page

    async def page(self, _: web.Request) -> web.Response:
        return self._page.reply()

    async def counts(self, _: web.Request) -> web.Response:
        totals, boot = self._state.totals, self._state.boot
        return document({metric.name: _series(metric.exported_labels, metrics.exported(metric, totals, boot)) for metric in METRICS})

    async def pairs(self, request: web.Request) -> web.Response:
        parameters = _parameters(request, "limit", "rollout", "redact")
        limit, is_redacted = _limit(parameters.get("limit", "20")), _true_or_false("redact", parameters.get("redact", "true"))
        if not is_redacted and not self._rule.may_see_raw(request):
            return error(403, "raw text is shown on loopback or with a token only", "leave redact=false out, or set admin.token")
        asked = parameters.get("rollout")
        rollout = str(_one(self._state.verdicts(), asked)["rollout"]) if asked is not None else None
        try:
            pairs = await self._state.pairs(limit, rollout)
        except ShadowproxyError as exc:
            return error(503, str(exc), "try again; traffic is not affected")
        # In a thread: hundreds of long texts take a while, and this loop also collects the counts.
        shown = await asyncio.to_thread(lambda: [redact_document(pair) for pair in pairs]) if is_redacted else pairs
        return document({"redacted": is_redacted, "pairs": shown})

    async def reload(self, request: web.Request) -> web.Response:
        _parameters(request)
        problem = await self._state.reload()
        if problem:
            return error(409, f"the old configuration stays: {problem}", "mend the file and try again")
        return document({"reloaded": True})

    async def mirroring(self, request: web.Request) -> web.Response:
        is_on = _true_or_false("on", _parameters(request, "on").get("on", ""))
        self._state.set_mirroring(is_on)
        return document({"mirroring": is_on})


def _series(labels: tuple[str, ...], samples: metrics.Samples) -> list[dict[str, object]]:
    return [{"labels": dict(zip(labels, values, strict=False)), "value": value} for values, value in samples]


def _one(documents: Sequence[Document], asked: str) -> Document:
    """The document of the rollout with this id, or of the candidate with this name. Raises 404 with the known names."""
    found = next((each for each in documents if asked in (each["rollout"], each["candidate"])), None)
    if found is None:
        known = [{"candidate": each["candidate"], "rollout": each["rollout"]} for each in documents]
        body = error_body(f"there is no rollout {asked!r}", "ask for a candidate's name or a rollout id", known=known)
        raise web.HTTPNotFound(text=body, content_type=JSON)
    return found


# --- query parameters ---------------------------------------------------------------------------------------------------


def _parameters(request: web.Request, *known: str) -> dict[str, str]:
    """The query as a mapping. A parameter that nobody knows is refused: ``redact`` misspelt must not go unnoticed."""
    for name in request.query:
        if name not in known:
            raise bad_request(f"{name} is not a parameter of {request.path}", f"known here: {', '.join(known)}")
        if len(request.query.getall(name)) > 1:
            raise bad_request(f"{name} is given more than once", "give it once")
    return dict(request.query)


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and 1 <= int(text) <= _MOST_SHOWN):
        raise bad_request(f"limit: {text!r} is not within 1..{_MOST_SHOWN}", "give a whole number")
    return int(text)


def _true_or_false(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise bad_request(f"{name}: {text!r} is not true or false", f"write {name}=true or {name}=false")
    return text == "true"
