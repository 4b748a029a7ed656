"""Captures of others: what becomes an exchange, and what is counted with its place and the reason."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy.errors import InputError
from shadowproxy.exchange import Exchange, Outcome
from shadowproxy.journal.importers import formats
from shadowproxy.journal.importers.made import Item, Unusable, seconds_of, target_of
from shadowproxy.wire.asked import read_asked
from shadowproxy.wire.reading import read_answer

SAMPLES = Path(__file__).parent / "samples"


def _read(*names: str, format_: str = "") -> list[Item]:
    return list(formats.read([str(SAMPLES / name) for name in names], format_))


def _used(items: list[Item]) -> dict[str, Exchange]:
    return {item.id: item for item in items if isinstance(item, Exchange)}


def _left_out(items: list[Item]) -> list[tuple[str, str]]:
    return [(item.place.partition(", ")[2], item.reason) for item in items if isinstance(item, Unusable)]


def _answer(exchange: Exchange) -> str:
    assert exchange.reply is not None
    return read_answer(exchange.request, exchange.reply).text


FORMAT_OF = {
    "batch_requests.jsonl": "openai-batch",
    "batch_results.jsonl": "openai-batch",
    "browser.har": "har",
    "kserve_binary.jsonl": "kserve",
    "kserve_bucket.csv": "kserve",
    "kserve_bucket.json": "kserve",
    "kserve_structured.jsonl": "kserve",
    "langfuse.csv": "langfuse",
    "langfuse.jsonl": "langfuse",
    "langfuse_traces.json": "langfuse",
    "litellm.jsonl": "litellm",
    "prompts.csv": "prompts",
    "prompts.jsonl": "prompts",
    "requests.gor": "goreplay",
    "tap_buffered.json": "envoy-tap",
    "tap_streamed.json": "envoy-tap",
}


def test_every_sample_is_known_by_itself() -> None:
    assert {path.name: formats.format_of(str(path)) for path in SAMPLES.iterdir()} == FORMAT_OF


def test_every_format_has_a_sample() -> None:
    assert set(FORMAT_OF.values()) == set(formats.FORMATS)


@pytest.mark.parametrize("name", FORMAT_OF)
def test_no_credential_comes_in(name: str) -> None:
    for exchange in _used(_read(name)).values():
        headers = exchange.request.headers + (exchange.reply.headers if exchange.reply is not None else ())
        assert all(header not in (b"authorization", b"content-length", b"host") for header, _ in headers)


# --- OpenAI batch -----------------------------------------------------------------------------------------------------------


def test_a_batch_is_joined_on_custom_id() -> None:
    items = _read("batch_requests.jsonl", "batch_results.jsonl")
    used = _used(items)
    assert [(id_, exchange.outcome) for id_, exchange in used.items()] == [
        ("q-1", Outcome.OK),
        ("q-2", Outcome.HTTP_ERROR),
        ("q-3", Outcome.RESET),
        ("q-4", Outcome.DROPPED_LOCAL),
    ]
    assert _answer(used["q-1"]) == "Paris."
    assert used["q-1"].issued_at_s == 1711652795
    assert used["q-3"].failure.startswith("batch_expired: ")
    assert used["q-3"].route == "embeddings"
    assert _left_out(items) == [
        ("line 5", "a custom_id used twice"),
        ("line 6", "no custom_id"),
        ("line 7", "not JSON"),
        ("line 4", "a result without its request"),
    ]


# --- HAR ----------------------------------------------------------------------------------------------------------------------


def test_an_archive_gives_posts_with_their_answers() -> None:
    items = _read("browser.har")
    used = _used(items)
    first = used["har-000001"]
    assert first.request.target == "/openai/v1/chat/completions?api-version=1"
    assert first.issued_at_s == pytest.approx(1716990379.963)
    assert first.duration_s == pytest.approx(0.8125)
    assert _answer(first) == "Hi"
    assert first.reply is not None
    assert first.reply.header(b"content-encoding") is None  # the body stands in the archive without it
    assert (used["har-000003"].outcome, used["har-000003"].failure) == (Outcome.RESET, "net::ERR_ABORTED")
    assert used["har-000004"].reply is not None
    assert used["har-000004"].reply.body == b'{"data":[]}'
    assert used["har-000005"].outcome is Outcome.DROPPED_LOCAL
    assert _left_out(items) == [
        ("entry 2", "a request without a body"),
        ("entry 6", "a body that was not recorded as text"),
        ("entry 7", "a reply body that is no base64"),
    ]


@pytest.mark.parametrize("text", ["", "[]", '{"log": {}}', '{"log": {"entries": 7}}'])
def test_what_is_no_archive_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.har").write_text(text)
    with pytest.raises(InputError, match=r"x\.har: is no HTTP archive"):
        list(formats.read([str(tmp_path / "x.har")]))


# --- GoReplay -----------------------------------------------------------------------------------------------------------------


def test_goreplay_joins_messages_by_their_id() -> None:
    items = _read("requests.gor")
    used = _used(items)
    assert list(used) == ["aaaa01", "aaaa02", "aaaa03"]
    assert _answer(used["aaaa01"]) == "Hi"
    assert used["aaaa01"].duration_s == 0.25
    assert used["aaaa01"].issued_at_s == 1_700_000_000
    assert used["aaaa02"].reply is not None
    assert used["aaaa02"].reply.body == b'data: {"text":"Hi"}\n\n'
    assert used["aaaa03"].outcome is Outcome.DROPPED_LOCAL
    assert _left_out(items) == [
        ("message 6", "the response of a replay"),
        ("message 7", "a response without its request"),
        ("message 9", "a body that was cut"),
        ("message 10", "no head line of GoReplay"),
        ("message 8", "a request without a body"),
    ]


# --- Envoy --------------------------------------------------------------------------------------------------------------------


def test_buffered_traces_are_read_in_either_spelling() -> None:
    items = _read("tap_buffered.json")
    used = _used(items)
    assert _answer(used["tap-000001"]) == "Hi"
    assert used["tap-000001"].duration_s == pytest.approx(0.5)
    assert used["tap-000001"].request.header(b"x-bytes") == b"raw"
    assert used["tap-000002"].outcome is Outcome.HTTP_ERROR
    assert [reason for _, reason in _left_out(items)] == [
        "a body that was cut",
        "a request without a body",
        "bytes that are no base64",
        "no trace of HTTP",
    ]


def test_streamed_segments_are_put_together_by_trace_id() -> None:
    items = _read("tap_streamed.json")
    used = _used(items)
    whole = used["tap-11638135731790493088"]
    assert read_asked(whole.request).question == "Hello"
    assert whole.reply is not None
    assert [piece for _, piece in whole.reply.reads] == [b'data: {"a":1}\n\n', b"data: [DONE]\n\n"]
    assert used["tap-42"].outcome is Outcome.DROPPED_LOCAL
    assert [reason for _, reason in _left_out(items)] == ["a segment without trace_id", "a request without its head"]


# --- KServe -------------------------------------------------------------------------------------------------------------------


def test_structured_events_are_joined_on_their_id() -> None:
    items = _read("kserve_structured.jsonl")
    used = _used(items)
    assert {id_: exchange.request.target for id_, exchange in used.items()} == {
        "e-1": "/v1/models/iris:predict",
        "e-2": "/v2/models/bert/infer",
        "e-3": "/v1/chat/completions",
    }
    assert used["e-1"].duration_s == pytest.approx(0.25)
    assert used["e-2"].reply is not None
    assert used["e-2"].reply.body == b'{"outputs":[]}'
    assert _left_out(items) == [
        ("line 7", "no event of an inference"),
        ("line 8", "bytes that are no base64"),
        ("line 9", "a request that is no JSON"),
        ("line 6", "a response without its request"),
    ]


@pytest.mark.parametrize("name", ["kserve_binary.jsonl", "kserve_bucket.json", "kserve_bucket.csv"])
def test_the_other_forms_of_events_say_the_same(name: str) -> None:
    (exchange,) = _used(_read(name)).values()
    assert exchange.request.target == "/v1/models/iris:predict"
    assert json.loads(exchange.request.body) == {"instances": [[6.8, 2.8, 4.8, 1.4]]}
    assert exchange.reply is not None
    assert json.loads(exchange.reply.body) == {"predictions": [1]}


# --- LiteLLM ------------------------------------------------------------------------------------------------------------------


def test_litellm_payloads_become_the_requests_that_were_sent() -> None:
    items = _read("litellm.jsonl")
    used = _used(items)
    assert list(used) == ["l-1", "l-2", "l-3", "l-4", "l-5", "l-8", "l-9"]
    assert json.loads(used["l-1"].request.body) == {
        "model": "chat-small",
        "messages": [{"role": "user", "content": "Hello"}],
        "temperature": 0.2,
    }
    assert used["l-1"].duration_s == pytest.approx(0.75)
    assert [_answer(used[id_]) for id_ in ("l-1", "l-2", "l-8")] == ["Hi", "Hi there", "Hi"]
    assert used["l-3"].reply is not None
    assert used["l-3"].reply.status == 429
    assert (used["l-4"].route, used["l-5"].route) == ("embeddings", "completions")
    assert json.loads(used["l-5"].request.body)["prompt"] == "Once upon"
    assert used["l-9"].outcome is Outcome.DROPPED_LOCAL
    assert _left_out(items) == [("line 6", "a request whose content was not logged"), ("line 7", "a call that is no request to a model")]


# --- Langfuse -----------------------------------------------------------------------------------------------------------------


def test_langfuse_generations_become_chats() -> None:
    items = _read("langfuse.jsonl")
    used = _used(items)
    assert list(used) == ["g-1", "g-2", "g-3", "g-5", "g-6"]
    assert json.loads(used["g-1"].request.body) == {
        "model": "gpt-4o-mini",
        "temperature": 0.2,
        "max_tokens": 256,
        "messages": [{"role": "user", "content": "Hello"}],
    }
    assert json.loads(used["g-2"].request.body)["temperature"] == 1  # what the input itself says goes before
    assert [_answer(used[id_]) for id_ in ("g-1", "g-2", "g-6")] == ["Hi", "Hi", '{"sentiment":"good"}']
    assert (used["g-3"].outcome, used["g-5"].outcome) == (Outcome.HTTP_ERROR, Outcome.DROPPED_LOCAL)
    assert _left_out(items) == [("line 4", "an observation that is no generation"), ("line 5", "a generation without its input")]


@pytest.mark.parametrize("name", ["langfuse.csv", "langfuse_traces.json"])
def test_the_other_exports_of_langfuse_say_the_same(name: str) -> None:
    (exchange,) = _used(_read(name)).values()
    assert (exchange.id, read_asked(exchange.request).question, _answer(exchange)) == ("g-1", "Hello", "Hi")
    assert exchange.duration_s == pytest.approx(0.5)


# --- prompts ------------------------------------------------------------------------------------------------------------------


def test_plain_lines_and_rows_become_chats() -> None:
    items = _read("prompts.jsonl")
    used = _used(items)
    assert [read_asked(exchange.request).question for exchange in used.values()] == ["Capital of France?", "Capital of Spain?", "Hello"]
    assert _answer(used["p-1"]) == "Paris."
    assert used["p-1"].duration_s == 0.5
    assert used["row-000002"].outcome is Outcome.DROPPED_LOCAL
    assert _answer(used["row-000003"]) == '{"mood":"good"}'
    assert _left_out(items) == [("line 4", "no prompt"), ("line 5, item 1", "not a JSON object")]


def test_rows_of_csv_may_span_lines() -> None:
    items = _read("prompts.csv")
    used = _used(items)
    assert read_asked(used["c-1"].request).question == 'Say "hi",\ntwice'
    assert _answer(used["c-1"]) == "hi, hi"
    assert used["c-2"].outcome is Outcome.DROPPED_LOCAL
    assert _left_out(items) == [("line 5", "no prompt")]


# --- files --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_zipped_files_are_unzipped(tmp_path: Path, ending: str) -> None:
    data = (SAMPLES / "prompts.jsonl").read_bytes()
    file = tmp_path / f"prompts.jsonl{ending}"
    file.write_bytes(gzip.compress(data) if ending == ".gz" else zstandard.compress(data))
    assert _used(list(formats.read([str(file)]))) == _used(_read("prompts.jsonl"))


@pytest.mark.parametrize("name", ["a.gz", "a.zst", "a.har", "a.jsonl"])
def test_a_broken_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x1f\x8b\x08\x00 this is nothing")
    with pytest.raises(InputError, match=name):
        list(formats.read([str(tmp_path / name)]))


def test_a_file_of_no_format_is_refused_with_the_list(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(InputError, match=r"say which with --format .*prompts"):
        list(formats.read([str(tmp_path / "x.jsonl")]))
    with pytest.raises(InputError, match="no format of captures"):
        list(formats.read([str(tmp_path / "x.jsonl")], "xml"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.jsonl: cannot be opened"):
        list(formats.read([str(tmp_path / "nowhere.jsonl")]))


def test_what_breaks_off_keeps_what_came_before(tmp_path: Path) -> None:
    values = '{\n "prompt": "a"\n}\n{\n "prompt": "b"\n}\n{\n "pro'
    (tmp_path / "x.json").write_text(values)
    items = list(formats.read([str(tmp_path / "x.json")]))
    assert len(_used(items)) == 2
    assert [reason for _, reason in _left_out(items)] == ["not JSON"]


_KEYS = (
    *("custom_id", "body", "response", "error", "log", "entries", "request", "postData", "content", "http_buffered_trace", "trace_id"),
    *("http_streamed_trace_segment", "headers", "data", "id", "type", "reqType", "bytes", "call_type", "messages", "status", "input"),
    *("output", "observations", "prompt", "answer", "specversion", "url", "text"),
)


@pytest.mark.parametrize("name", formats.FORMATS)
@settings(max_examples=40)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(_KEYS),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    )
)
def test_no_value_breaks_an_importer(tmp_path_factory: pytest.TempPathFactory, name: str, value: object) -> None:
    file = tmp_path_factory.mktemp("values") / "x.json"
    file.write_text(json.dumps(value))
    try:
        items = list(formats.read([str(file)], name))
    except InputError:
        assert name == "har"
        return
    assert all(isinstance(item, Exchange | Unusable) for item in items)


@settings(max_examples=40)
@given(st.binary(max_size=200))
def test_no_bytes_break_goreplay(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.mktemp("gor") / "x.gor"
    file.write_bytes((SAMPLES / "requests.gor").read_bytes()[:300] + data)
    assert all(isinstance(item, Exchange | Unusable) for item in formats.read([str(file)]))


def test_moments_are_read_as_people_write_them() -> None:
    assert seconds_of("2024-05-29T13:46:19.963Z") == seconds_of("2024-05-29 13:46:19.963000") == seconds_of("2024-05-29T15:46:19.963+02:00")
    assert [seconds_of(value) for value in (1.5, 7, True, None, "soon")] == [1.5, 7, 0, 0, 0]


def test_targets_lose_their_host() -> None:
    assert [target_of(url) for url in ("https://h:1/a?b=c#d", "/a", "https://h")] == ["/a?b=c", "/a", "/"]
