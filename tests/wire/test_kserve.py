"""KServe V1 and V2, and text generation as Triton, KServe, text-generation-inference and SGLang speak it."""

from __future__ import annotations

from typing import Any

import pytest

from shadowproxy.exchange import Answer, Choice, ReplyError, Usage
from tests.wire.samples import STREAM, event, events, read, read_all

V1, V2 = "/v1/models/m:predict", "/v2/models/m/infer"
GENERATE, STREAMED = "/v2/models/m/generate", "/v2/models/m/generate_stream"


def tensor(name: str, datatype: str, data: Any, **fields: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": data, **fields}


# --- V1 -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ({"predictions": ["a", "b"]}, ["a", "b"]),
        ({"predictions": [{"generated_text": "a"}, {"text": "b"}]}, ["a", "b"]),
        ({"predictions": [{"label": "x", "score": 0.5}]}, ['[{"label":"x","score":0.5}]']),
        ({"predictions": [{"text": "a", "score": 0.5}]}, ['[{"score":0.5,"text":"a"}]']),
        ({"predictions": [[0.25, 1], [2, 3]]}, ["[[0.25,1],[2,3]]"]),
        ({"predictions": ["a", 1]}, ['["a",1]']),
        ({"predictions": []}, ["[]"]),
        ({"predictions": {"a": 1}}, ['{"a":1}']),
        ({"outputs": [1, 2]}, ["[1,2]"]),
    ],
)
def test_predictions_are_texts_or_one_json_value(body: Any, texts: list[str]) -> None:
    answer = read(V1, body | {"model_name": "m", "model_version": "1"})
    assert (answer.dialect, [choice.text for choice in answer.choices], answer.model, answer.unknown) == ("predict", texts, "m", ())
    assert (answer.is_complete, answer.ttft_s) == (True, 0.5)


def test_predictions_in_odd_company() -> None:
    assert read(V1, {"predictions": [1], "took_ms": 3}).unknown == ("took_ms",)
    assert read(V1, {"error": "no model"}).error == ReplyError("no model")
    assert read(V1, {"error": "no model"}, status=404) == Answer("predict", error=ReplyError("no model"))
    assert read(V1, {"result": 1}).dialect == "json"


# --- V2 -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outputs", "texts"),
    [
        ([tensor("out", "BYTES", ["a", "b"])], ["a", "b"]),
        ([tensor("out", "BYTES", [["a"], ["b", "c"]])], ["a", "b", "c"]),
        ([tensor("text_output", "BYTES", ["a"]), tensor("score", "FP32", [0.5])], ["a"]),
        ([tensor("out", "FP32", [0.5, 1])], ['[{"data":[0.5,1],"datatype":"FP32","name":"out","shape":[2]}]']),
        (
            [tensor("p", "FP32", [0.5]), tensor("label", "BYTES", ["x"], parameters={"ms": 1})],
            ['[{"data":["x"],"datatype":"BYTES","name":"label","shape":[1]},{"data":[0.5],"datatype":"FP32","name":"p","shape":[1]}]'],
        ),
    ],
)
def test_tensors_are_texts_or_one_json_value(outputs: Any, texts: list[str]) -> None:
    answer = read(V2, {"model_name": "m", "model_version": "1", "id": "x", "outputs": outputs})
    assert (answer.dialect, [choice.text for choice in answer.choices], answer.model, answer.unknown) == ("infer", texts, "m", ())


def test_the_order_of_the_tensors_says_nothing() -> None:
    outputs = [tensor("a", "FP32", [1]), tensor("b", "FP32", [2])]
    assert read(V2, {"outputs": outputs}).choices == read(V2, {"outputs": outputs[::-1]}).choices


def test_binary_tensors_are_told_apart_by_their_digest() -> None:
    answers = [read(V2, b'{"outputs":[]}' + end, (b"content-type", b"application/octet-stream")) for end in (b"\0\1", b"\0\2")]
    assert {answer.dialect for answer in answers} == {"bytes"}
    assert answers[0].first.media != answers[1].first.media


def test_failed_inference_says_why() -> None:
    assert read(V2, {"error": "bad shape"}, status=400) == Answer("infer", error=ReplyError("bad shape"))
    assert read(V2, {"error": "bad shape"}).error == ReplyError("bad shape")


# --- generate -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "body", "texts"),
    [
        (GENERATE, {"model_name": "m", "text_output": "a"}, ["a"]),
        (GENERATE, {"text_output": ["a", "b"]}, ["a", "b"]),
        ("/generate", {"generated_text": "a"}, ["a"]),
        ("/", [{"generated_text": "a"}], ["a"]),
        ("/generate", {"text": "a", "meta_info": {}}, ["a"]),
        ("/generate", [{"text": "a", "meta_info": {}}, {"text": "b", "meta_info": {}}], ["a", "b"]),
        ("/generate", {"text": ["prompt a", "prompt b"]}, ["prompt a", "prompt b"]),
        ("/generate", {"generated_text": "a", "details": {"best_of_sequences": [{"generated_text": "b"}, None]}}, ["a", "b", ""]),
    ],
)
def test_whole_generations(target: str, body: Any, texts: list[str]) -> None:
    answer = read(target, body)
    assert (answer.dialect, [choice.text for choice in answer.choices], answer.is_complete) == ("generate", texts, True)
    assert (answer.unknown, answer.content_at_s) == ((), (0.5,))


def test_details_of_text_generation_inference() -> None:
    details = {"finish_reason": "length", "generated_tokens": 5, "prefill": [{"id": 1}, {"id": 2}], "tokens": [], "seed": None}
    answer = read("/generate", {"generated_text": "a", "details": details})
    assert (answer.first, answer.usage) == (Choice("a", finish_reason="length"), Usage(2, 5))


def test_details_of_sglang() -> None:
    meta = {"finish_reason": {"type": "stop", "matched": 2}, "prompt_tokens": 3, "completion_tokens": 5}
    answer = read("/generate", {"text": "a", "meta_info": meta})
    assert (answer.first, answer.usage) == (Choice("a", finish_reason="stop"), Usage(3, 5))


def token(text: str, **fields: Any) -> dict[str, Any]:
    return {
        "index": 1,
        "token": {"id": 1, "text": text, "logprob": -1.0, "special": False},
        "generated_text": None,
        "details": None,
        **fields,
    }


def test_a_stream_of_tokens_ends_with_the_whole_text() -> None:
    special = {"index": 3, "token": {"id": 2, "text": "</s>", "special": True}}
    end = special | {"generated_text": "Hello", "details": {"finish_reason": "eos_token", "generated_tokens": 3, "input_length": 7}}
    reads = tuple((float(at), event(each)) for at, each in enumerate([token("Hel"), token("lo"), end]))
    answer = read_all("/generate_stream", reads, (STREAM,))
    choices = (Choice("Hello", finish_reason="eos_token"),)
    assert answer == Answer("generate", choices, Usage(7, 3), is_streamed=True, content_at_s=(0.0, 1.0))


@pytest.mark.parametrize(
    ("pieces", "text", "is_complete"),
    [
        pytest.param([token("a"), token("b")], "ab", False, id="tokens cut off"),
        pytest.param([token("a", generated_text="a")], "a", True, id="tokens ended"),
        pytest.param([{"text_output": "a"}, {"text_output": "b"}], "ab", True, id="no mark of an end"),
        pytest.param([{"text_output": "a"}, b'data: {"text_output"'], "a", False, id="an event begun"),
        pytest.param([{"text": "a", "meta_info": {}}, {"text": "ab", "meta_info": {}}, "[DONE]"], "ab", True, id="growing"),
        pytest.param([{"text": "a", "meta_info": {}}, {"text": "ab", "meta_info": {}}], "ab", False, id="growing, cut off"),
        pytest.param(
            [{"text": "a\ufffd", "meta_info": {}}, {"text": "aü", "meta_info": {}}, {"text": "aüb", "meta_info": {}}, "[DONE]"],
            "aüb",
            True,
            id="growing, half a character",
        ),
        pytest.param([{"text": text, "meta_info": {}} for text in ("a", "b", "bc")] + ["[DONE]"], "abbc", True, id="only what is new"),
        pytest.param([{"text": "a", "meta_info": {"finish_reason": {"type": "stop"}}}], "a", True, id="finish without done"),
    ],
)
def test_how_streams_of_generations_end(pieces: list[Any], text: str, is_complete: bool) -> None:
    body = b"".join(piece if isinstance(piece, bytes) else event(piece) for piece in pieces)
    answer = read(STREAMED, body, STREAM)
    assert (answer.dialect, answer.text, answer.is_complete) == ("generate", text, is_complete)


def test_an_error_inside_a_stream_keeps_what_came_before() -> None:
    answer = read("/generate_stream", events(token("a"), {"error": "overloaded", "error_type": "overloaded"}), STREAM)
    assert (answer.text, answer.error, answer.is_complete, answer.unknown) == ("a", ReplyError("overloaded"), False, ())


@pytest.mark.parametrize(
    ("body", "header"), [(b'{"result": 1}', None), (events({"result": 1}), STREAM), (b"plain", (b"content-type", b"text/plain"))]
)
def test_other_services_answer_at_these_paths_too(body: bytes, header: tuple[bytes, bytes] | None) -> None:
    answer = read("/generate", body, *([header] if header else []))
    assert (answer.dialect in ("json", "text"), answer.error, answer.is_complete) == (True, None, True)
