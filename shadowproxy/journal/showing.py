"""Records for people: what ``journal show`` prints."""

from __future__ import annotations

import time
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from shadowproxy.exchange import Answer, Exchange
from shadowproxy.journal.records import ArmRecord, Record
from shadowproxy.wire.asked import read_asked
from shadowproxy.wire.reading import read_answer


def shown(record: Record, chars: int) -> RenderableType:
    """One record: what was asked, and each arm's answer, cut to ``chars`` characters each."""
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(record.issued_at_s))
    title = f"{record.id} · {record.route} · {moment} UTC" + (f" · session {record.session}" if record.session else "")
    asked = read_asked(record.request())
    question = asked.question or record.body.text or record.body.withheld
    parts: list[RenderableType] = [Text(f"{record.method} {record.target}", style="dim"), Text(_cut(question, chars), style="bold")]
    for arm, exchange in zip(record.arms, record.exchanges(), strict=True):
        parts += _arm(arm, exchange, chars)
    return Panel(Group(*parts), title=Text(title), title_align="left")


def _arm(arm: ArmRecord, exchange: Exchange, chars: int) -> Iterator[RenderableType]:
    status = f" {arm.status}" if arm.status else ""
    rollout = f" · {arm.rollout}" if arm.rollout else ""
    yield Text(f"\n{arm.arm}{rollout} · {arm.outcome}{status} · {arm.duration_s:.3f} s", style="cyan" if arm.outcome == "ok" else "red")
    if arm.failure:
        yield Text(arm.failure, style="red")
    answer = read_answer(exchange.request, exchange.reply) if exchange.reply is not None else None
    yield Text(_cut(_words(answer, arm), chars))


def _words(answer: Answer | None, arm: ArmRecord) -> str:
    """What the answer says; its body where nobody here can read it."""
    if answer is None:
        return ""
    calls = [f"{call.name}({call.arguments})" for call in answer.first.tool_calls]
    error = [answer.error.message] if answer.error is not None else []
    said = "\n".join(text for text in (answer.text, *calls, *error) if text)
    return said or arm.body.withheld or arm.body.text or f"{len(arm.body.data())} bytes"


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[:chars] + f" … ({len(text) - chars} more characters)"
