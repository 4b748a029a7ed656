"""What of an exchange is written down, and what comes back."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.exchange import CONTROL, PRIMARY, Exchange, Outcome, Reply, Request
from shadowproxy.journal.recording import Recorder
from shadowproxy.journal.records import Record, candidates_of, control_of
from shadowproxy.redaction.bodies import Redactor
from shadowproxy.redaction.pseudonyms import Pseudonyms
from tests.journal.exchanges import EVENTS, JSON, all_arms, chat_request, exchange

PSEUDONYMS = Pseudonyms(b"k" * 32)
PLAIN = Recorder(PSEUDONYMS, None, rollouts={"v2": "v2-1234"})
REDACTING = Recorder(PSEUDONYMS, Redactor(PSEUDONYMS), more_headers=("x-tenant",), rollouts={"v2": "v2-1234"})


def _there_and_back(record: Record) -> Record:
    return msgspec.json.decode(msgspec.json.encode(record), type=Record)


def _without_span(exchange: Exchange) -> Exchange:
    return replace(exchange, span_id=b"")


def test_all_arms_come_back_as_they_were() -> None:
    primary, others = all_arms()
    record = _there_and_back(PLAIN.record(primary, others))
    assert record.exchanges() == (primary, *others)


def test_candidates_name_their_rollout_and_the_control_does_not() -> None:
    record = PLAIN.record(*all_arms())
    assert [(arm.arm, arm.rollout) for arm in record.arms] == [(PRIMARY, ""), (CONTROL, ""), ("v2", "v2-1234")]
    assert control_of(record) == record.others[0]
    assert candidates_of(record) == (record.others[1],)


def test_headers_are_kept_by_name() -> None:
    sent = (*JSON, (b"x-tenant", b"ada@example.com"), (b"x-user", b"ada"), (b"host", b"h"), (b"date", b"d"))
    record = REDACTING.record(replace(exchange(), request=chat_request(headers=sent)))
    assert record.headers == (("content-type", "application/json"), ("x-tenant", PSEUDONYMS("email", "ada@example.com")))


def test_bytes_of_a_header_come_back() -> None:
    sent = (*JSON, (b"x-tenant", b"caf\xe9 \xc3\xa9"))
    assert _there_and_back(REDACTING.record(replace(exchange(), request=chat_request(headers=sent)))).request().headers == sent


def test_nothing_personal_reaches_the_line() -> None:
    words = "write to ada@example.com or +49 30 12345678, key sk-proj-abcDEF123456ghiJKL789"
    primary = replace(exchange(words=words), request=replace(chat_request(words), target="/v1/chat/completions?mail=ada%40example.com"))
    failing = replace(exchange(words=words, arm="v2"), outcome=Outcome.HTTP_ERROR, failure="ada@example.com is unknown")
    line = msgspec.json.encode(REDACTING.record(primary, (failing,), session="ada"))
    for secret in (b"ada@", b"ada%40", b"12345678", b"abcDEF"):
        assert secret not in line


def test_equal_sessions_have_equal_pseudonyms() -> None:
    first, second, other = (REDACTING.record(exchange(), session=name).session for name in ("ada", "ada", "bob"))
    assert first == second != other
    assert REDACTING.record(exchange()).session == ""


def test_a_coding_is_undone_and_named() -> None:
    body = json.dumps({"text": "to ada@example.com"}).encode()
    zipped = gzip.compress(body)
    reads = ((0.1, zipped[:10]), (0.2, zipped[10:]))
    record = REDACTING.record(exchange(reads=reads, headers=(*JSON, (b"content-encoding", b"gzip"))))
    assert record.primary.body.was == "gzip"
    assert json.loads(record.primary.body.text) == {"text": f"to {PSEUDONYMS('email', 'ada@example.com')}"}
    assert all(name != "content-encoding" for name, _ in record.primary.headers)


def test_what_cannot_be_read_is_withheld() -> None:
    record = REDACTING.record(exchange(reads=((0.1, b"ada@example.com"),), headers=(*JSON, (b"content-encoding", b"zstd"))))
    assert record.primary.body.data() == b""
    assert "cannot be undone" in record.primary.body.withheld


def test_bytes_that_are_no_text_are_kept_as_base64() -> None:
    body = bytes(range(256))
    record = _there_and_back(PLAIN.record(exchange(reads=((0.1, body),))))
    assert record.primary.body.text == ""
    assert record.exchanges()[0].reply == Reply(200, JSON, ((0.1, body),))


def test_reads_keep_their_times_around_what_was_replaced() -> None:
    pieces = [b'data: {"t":"to ada@exa"}\n\n', b'data: {"t":"mple.com, and more"}\n\n', b"data: [DONE]\n\n"]
    reads = tuple((0.1 * (number + 1), piece) for number, piece in enumerate(pieces))
    reply = _there_and_back(REDACTING.record(exchange(reads=reads, headers=EVENTS))).exchanges()[0].reply
    assert reply is not None
    assert [at_s for at_s, _ in reply.reads] == [0.1, 0.2, 0.3]
    made = PSEUDONYMS("email", "ada@example.com").encode()
    assert [piece for _, piece in reply.reads] == [b'data: {"t":"to ' + made + b'"}\n\n', b'data: {"t":", and more"}\n\n', pieces[2]]


_HEADERS = st.just(JSON) | st.just(())
_EXCHANGES = st.builds(
    Exchange,
    id=st.text(max_size=8),
    arm=st.just(PRIMARY),
    route=st.sampled_from(["chat", "other"]),
    request=st.builds(Request, st.just("POST"), st.text(max_size=10), _HEADERS, st.binary(max_size=20)),
    reply=st.none()
    | st.builds(
        Reply,
        st.integers(100, 599),
        _HEADERS,
        st.lists(st.binary(min_size=1, max_size=10), max_size=5).map(
            lambda pieces: tuple((at / 8, piece) for at, piece in enumerate(pieces, 1))
        ),
    ),
    outcome=st.sampled_from(list(Outcome)),
    issued_at_s=st.floats(0, 2e9),
    duration_s=st.integers(0, 1000).map(lambda eighths: eighths / 8),
    failure=st.text(max_size=10),
)


@given(_EXCHANGES)
def test_any_exchange_comes_back_as_it_was(primary: Exchange) -> None:
    assert _there_and_back(PLAIN.record(primary)).exchanges() == (_without_span(primary),)


@given(_EXCHANGES)
def test_any_exchange_can_be_redacted(primary: Exchange) -> None:
    assert len(_there_and_back(REDACTING.record(primary, (primary,))).exchanges()) == 2


@given(st.text(st.characters()), st.text(st.characters()), st.text(st.characters()))
def test_text_that_no_utf8_can_hold_costs_no_record(id_: str, target: str, failure: str) -> None:
    primary = replace(exchange(id_), request=replace(chat_request(), target=target), failure=failure)
    for recorder in (PLAIN, REDACTING):
        assert _there_and_back(recorder.record(primary, session=failure)).primary.status == 200
