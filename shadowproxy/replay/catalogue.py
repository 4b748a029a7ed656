"""What of a capture can be asked again, in the order in which it was first asked. Read once before anything is sent.

A journal has its records in the order in which their slowest arm ended. Pace, sessions and the limits of latency gates go by when requests
were issued, so they are put in that order; a request's number in it is what answers and pairs are kept under.
"""

from __future__ import annotations

import hashlib
import logging
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np

from shadowproxy.errors import InputError
from shadowproxy.journal.reader import Damage, Unseal, located, segments_at
from shadowproxy.journal.records import Record
from shadowproxy.mirror.admission import ArmShare, arms_for, refusal_of
from shadowproxy.mirror.rewrite import is_http
from shadowproxy.replay.cards import Cards, Shelf
from shadowproxy.replay.names import KEY_BYTES, STATE_BYTES
from shadowproxy.replay.plan import has_answer

_log = logging.getLogger(__name__)

_OTHER = "other"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which requests are wanted: of ``routes`` (all where empty), ``percent`` of them by a stable hash of session or id, the first
    ``limit`` of those (0: all)."""

    routes: frozenset[str] = frozenset()
    percent: float = 100.0
    limit: int = 0


#: The route under which a request of a capture counts.
RouteOf = Callable[[Record], str]


def as_captured(record: Record) -> str:
    """That under which it was captured."""
    return record.route


@dataclass(slots=True)
class Catalogue:
    """Every request that can be asked. ``digest`` (sha256) tells these requests, as they were captured, from any others."""

    cards: Cards
    issued_at_s: array[float]
    route_of: RouteOf = as_captured
    digest: str = ""
    left_out: Counter[str] = field(default_factory=Counter)
    held: list[frozenset[str]] = field(default_factory=list)
    """By number, the arms of which the capture has an answer."""
    keys_of: bytes = b""
    """By number, ``KEY_BYTES`` that tell what was asked, then ``STATE_BYTES`` that tell all else of the record."""
    is_control: bytearray = field(default_factory=bytearray)
    """By number, 1 where the control is to be asked."""
    gone: set[int] = field(default_factory=set)
    """Numbers of requests that were there at first and cannot be read any more: a journal makes room by its oldest segments."""
    keys: set[str] = field(default_factory=set)
    """Under which keys pseudonyms in the capture were made."""
    damages: int = 0

    def __len__(self) -> int:
        return len(self.cards)

    @property
    def recorded(self) -> Counter[str]:
        """By arm, how many of the requests have an answer of it in the capture."""
        return Counter(arm for arms in self.held for arm in arms)

    def key(self, number: int) -> str:
        """Tells this request from every other, in this capture or in another."""
        start = number * (KEY_BYTES + STATE_BYTES)
        return self.keys_of[start : start + KEY_BYTES].hex()

    def state(self, number: int) -> str:
        """Changes with whatever else a pair depends on: recorded answers, time, session, route."""
        start = number * (KEY_BYTES + STATE_BYTES) + KEY_BYTES
        return self.keys_of[start : start + STATE_BYTES].hex()

    @property
    def span_s(self) -> float:
        """From the first to the last request."""
        return self.issued_at_s[-1] - self.issued_at_s[0] if len(self) else 0.0

    def requests(self, numbers: Iterable[int], unseal: Unseal | None) -> Iterator[tuple[int, Record]]:
        """The requests with these numbers."""
        decoder = msgspec.json.Decoder(Record)
        with Shelf(self.cards, unseal) as shelf:
            for number in numbers:
                try:
                    record = decoder.decode(shelf.line(number))
                except (InputError, msgspec.DecodeError, UnicodeDecodeError) as exc:
                    _log.warning("%s", exc)
                    self.gone.add(number)
                    continue
                if _key(record).hex() != self.key(number):
                    self.gone.add(number)  # another record stands there now
                    continue
                yield number, msgspec.structs.replace(record, route=self.route_of(record))


def catalogue_of(
    place: str,
    choice: Choice,
    unseal: Unseal | None = None,
    *,
    on_damage: Callable[[Damage], None],
    on_record: Callable[[int], None],
    route: RouteOf = as_captured,
    control: tuple[ArmShare, ...] = (),
) -> Catalogue:
    """Read everything at a path or URL once. ``on_record`` is told how many records were read so far, ``control`` is how often the control
    is asked.

    Raises :class:`InputError` where nothing can be read, or nothing can be asked.
    """
    segments = segments_at(place)
    found = Catalogue(Cards(segments), array("d"), route)
    keys: list[bytes] = []
    known: set[bytes] = set()
    seen: dict[frozenset[str], frozenset[str]] = {}  # few arms in few combinations: one set for each

    def damaged(damage: Damage) -> None:
        found.damages += not damage.is_torn_end
        on_damage(damage)

    for index, segment in enumerate(segments):
        for at, record in located(segment, unseal, damaged):
            reason, key = _left_out(record, choice, route(record)), b""
            if not reason:
                key = _key(record)
                reason = "it is in the capture twice" if key in known else ""
            if reason:
                found.left_out[reason] += 1
            else:
                known.add(key)
                keys.append(key + _state(record, route(record)))
                found.cards.add(index, at)
                found.issued_at_s.append(record.issued_at_s)
                found.is_control.append(bool(arms_for(record.id, control)))
                found.keys.add(record.key)
                arms = frozenset(arm.arm for arm in record.arms if has_answer(arm))
                found.held.append(seen.setdefault(arms, arms))
            on_record(len(keys) + found.left_out.total())
    if not keys:
        raise InputError(f"{place}: holds no request that can be asked{_why(found.left_out)}")
    return _ordered(found, keys, choice.limit)


def _left_out(record: Record, choice: Choice, route: str) -> str:
    """Why this request is not asked, or ""."""
    if choice.routes and route not in choice.routes:
        return "another route"
    if choice.percent < 100 and _point(record) >= choice.percent / 100:
        return "sampled_out"
    if record.body.withheld:
        return "its body was withheld from the capture"
    if record.method != "POST":
        return "method"
    if route == _OTHER:
        return "not_inference"
    try:
        for arm in record.arms:
            arm.body.check()
        request = record.request()
    except ValueError:
        return "its base64 cannot be decoded"
    return refusal_of(request) if is_http(request) else "not_http"


def _point(record: Record) -> float:
    """Sessions are in or out as wholes."""
    chosen_by = record.session or record.id
    return int.from_bytes(hashlib.blake2b(chosen_by.encode("utf-8", "replace"), digest_size=8).digest(), "big") / 2**64


def _key(record: Record) -> bytes:
    """Of what is asked."""
    said = (record.id, record.method, record.target, repr(record.headers), record.body.text or record.body.base64)
    return hashlib.blake2b("\0".join(said).encode("utf-8", "replace"), digest_size=KEY_BYTES).digest()


def _state(record: Record, route: str) -> bytes:
    """Of the whole record, as it counts."""
    encoded = _ENCODER.encode(msgspec.structs.replace(record, route=route))
    return hashlib.blake2b(encoded, digest_size=STATE_BYTES).digest()


_ENCODER = msgspec.json.Encoder()


def _ordered(found: Catalogue, keys: list[bytes], limit: int) -> Catalogue:
    """By time of issue; records of the same moment stay in the order of the capture."""
    order = np.argsort(np.frombuffer(found.issued_at_s, dtype=np.float64), kind="stable").tolist()
    left_out = found.left_out
    if limit:
        left_out["past the limit"] += max(0, len(order) - limit)
        order = order[:limit]
    keys_of = b"".join(keys[each] for each in order)
    return replace(
        found,
        cards=found.cards.chosen(order),
        issued_at_s=array("d", (found.issued_at_s[each] for each in order)),
        digest=hashlib.sha256(keys_of).hexdigest(),
        left_out=+left_out,
        held=[found.held[each] for each in order],
        keys_of=keys_of,
        is_control=bytearray(found.is_control[each] for each in order),
    )


def _why(left_out: Counter[str]) -> str:
    named = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common(5))
    return f" ({named})" if named else "; give the folder that journal.to names, or a capture"
