"""A web hook of the operator's that shifts traffic. See ``percent``."""

from __future__ import annotations

import shlex
from typing import Any

import msgspec

from shadowproxy.errors import NoAnswer, RouterBusy, RouterConflict, RouterRefused
from shadowproxy.promote.routers.percent import DELAY_S, Answer, Ask, read_answer
from shadowproxy.services import Service

#: Answers that may pass.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class Hook:
    """A web hook: GET answers ``{"percent": N}``, POST of the same with rollout and candidate makes it so. 409: somebody was faster."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def __str__(self) -> str:
        return str(self._service)

    async def ask(self) -> Answer:
        return read_answer(await self._call("GET", None), str(self))

    async def tell(self, ask: Ask) -> None:
        body = {"percent": ask.percent, "version": ask.version, "rollout": ask.rollout, "candidate": ask.candidate}
        await self._call("POST", body)

    def shown(self, percent: int) -> str:
        body = msgspec.json.encode({"percent": percent}).decode()
        return shlex.join(("curl", "--json", body, str(self._service)))

    async def close(self) -> None:
        await self._service.close()

    async def _call(self, method: str, body: dict[str, Any] | None) -> bytes:
        encoded = b"" if body is None else msgspec.json.encode(body)
        try:
            answer = await self._service.ask(method, body=encoded, content_type="application/json" if encoded else "")
        except NoAnswer as exc:
            raise RouterBusy(str(exc), DELAY_S) from exc
        if answer.status in _PASSING:
            raise RouterBusy(f"{self} answered {answer.status}", DELAY_S)
        if answer.status == 409:
            raise RouterConflict(f"{self} was changed meanwhile")
        if not 200 <= answer.status < 300:
            raise RouterRefused(f"{self} answered {method} with {answer.status}", "look at its log")
        return answer.body
