"""One line of a journal: a request and what every arm did with it.

Written by ``recording``, read back by ``reader``. Fields that say nothing are left out; a reader of a later version finds ``v``.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from itertools import accumulate

import msgspec

from shadowproxy.exchange import CONTROL, PRIMARY, Exchange, Headers, Outcome, Read, Reply, Request

#: The version of the format that this package writes.
VERSION = 1

TextHeaders = tuple[tuple[str, str], ...]


class Body(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Text where it is UTF-8, else base64. ``was`` names the content codings that were undone; ``withheld`` says why there is none."""

    text: str = ""
    base64: str = ""
    was: str = ""
    withheld: str = ""

    def data(self) -> bytes:
        """The bytes. Raises ``ValueError`` for base64 that is none: a record may be written elsewhere."""
        return base64.b64decode(self.base64) if self.base64 else self.text.encode()

    def check(self) -> None:
        """Raises as :meth:`data` does."""
        if self.base64:
            self.data()


class Reading(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """When a body came: read by read the microseconds since the read before (the first: since the request was sent), and how many bytes of
    the body as it is kept here it brought."""

    after_us: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()


class ArmRecord(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What one arm did. ``status`` 0: no reply head came. ``rollout`` is that of the candidate, empty for primary and control.

    ``late_us``: how much of these times may be a delay of the process that measured them: (microseconds since the request was sent, delay
    in all until then), for each time that it grew.
    """

    arm: str
    outcome: str
    duration_s: float
    status: int = 0
    headers: TextHeaders = ()
    body: Body = Body()
    reading: Reading = Reading()
    failure: str = ""
    rollout: str = ""
    late_us: tuple[tuple[int, int], ...] = ()


class Record(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A request, the primary's exchange and those of the other arms. ``session`` is a pseudonym; ``key`` says under which key all
    pseudonyms here were made. ``source`` names the format that it was imported from."""

    id: str
    route: str
    issued_at_s: float
    method: str
    target: str
    headers: TextHeaders
    body: Body
    primary: ArmRecord
    others: tuple[ArmRecord, ...] = ()
    session: str = ""
    key: str = ""
    source: str = ""
    v: int = msgspec.field(default=VERSION)

    @property
    def arms(self) -> tuple[ArmRecord, ...]:
        """The primary, then the others."""
        return (self.primary, *self.others)

    def request(self) -> Request:
        """The request as it can be sent again."""
        return Request(self.method, self.target, _headers(self.headers), self.body.data())

    def exchanges(self) -> tuple[Exchange, ...]:
        """The primary's exchange, then those of the other arms. Raises ``ValueError`` where a record written elsewhere makes no sense."""
        request = self.request()
        return tuple(self._exchange(request, arm) for arm in self.arms)

    def _exchange(self, request: Request, arm: ArmRecord) -> Exchange:
        reply = Reply(arm.status, _headers(arm.headers), tuple(_reads(arm))) if arm.status else None
        times = (self.issued_at_s, arm.duration_s)
        late = tuple((at_us / 1e6, late_us / 1e6) for at_us, late_us in arm.late_us)
        return Exchange(self.id, arm.arm, self.route, request, reply, Outcome(arm.outcome), *times, arm.failure, late=late)


def control_of(record: Record) -> ArmRecord | None:
    """The control's exchange, None where there was none."""
    return next((arm for arm in record.others if arm.arm == CONTROL), None)


def candidates_of(record: Record) -> tuple[ArmRecord, ...]:
    """The candidates' exchanges."""
    return tuple(arm for arm in record.others if arm.arm not in (PRIMARY, CONTROL))


def _headers(headers: TextHeaders) -> Headers:
    """A header's bytes are kept as Latin-1, which has one character for each."""
    return tuple((name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers)


def _reads(arm: ArmRecord) -> Iterable[Read]:
    """The body cut where it was cut when it came. What the sizes leave over came with the last read."""
    data = arm.body.data()
    ends = list(accumulate(arm.reading.sizes))
    if not ends:
        return [(arm.duration_s, data)] if data else []
    ends[-1] = max(ends[-1], len(data))
    starts = [0, *ends[:-1]]
    times = accumulate(arm.reading.after_us)
    return [(us / 1e6, data[start:end]) for us, start, end in zip(times, starts, ends, strict=False)]


def reading_of(at_s: Sequence[float], offsets: Sequence[int]) -> Reading:
    """``offsets`` are where each read ended in the body."""
    at_us = [round(each * 1e6) for each in at_s]
    after_us = tuple(max(0, later - earlier) for earlier, later in zip((0, *at_us[:-1]), at_us, strict=True)) if at_us else ()
    return Reading(after_us, tuple(end - start for start, end in zip((0, *offsets[:-1]), offsets, strict=True)) if offsets else ())
