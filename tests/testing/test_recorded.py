"""The recorded-answer server, asked by the real OpenAI client and by a raw socket."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from itertools import pairwise

import openai
import orjson
import pytest
from openai.types.chat import ChatCompletionChunk

from shadowproxy.errors import StartError
from shadowproxy.testing.answers import Draw, Piece, Recordings, load
from shadowproxy.testing.recorded import BadRequest, Behaviour, Pool, RecordedLLM, as_played, main, play_times, read_question
from tests.testing.wire_client import RawClient, Received, ask, request, until

FAST = 200.0
DRAW = Draw((Piece(0.1, "One"), Piece(0.01, " two"), Piece(0.02, " three")), "stop", 5, 3)


@pytest.fixture(scope="module")
def recordings() -> Recordings:
    return load()


def behaviour(**changes: object) -> Behaviour:
    return Behaviour(**{"speed": FAST, **changes})  # type: ignore[arg-type]


def asking(user: str, **more: object) -> bytes:
    """Bytes of one chat completion request that ends its connection."""
    body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": user}], **more})
    return request("POST", "Connection: close", "Content-Type: application/json", body=body, target="/v1/chat/completions")


async def ask_raw(llm: RecordedLLM, user: str, **more: object) -> Received:
    return await ask(int(llm.url.rpartition(":")[2]), asking(user, **more))


def text_of(received: Received) -> str:
    return str(orjson.loads(received.body)["choices"][0]["message"]["content"])


def client_of(llm: RecordedLLM) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{llm.url}/v1", api_key="sk-test", max_retries=0, timeout=10)


async def stream(client: openai.AsyncOpenAI, user: str, *, usage: bool) -> list[ChatCompletionChunk]:
    options = {"include_usage": True} if usage else openai.omit
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": user}]
    chunks = await client.chat.completions.create(model="m", messages=messages, stream=True, stream_options=options)  # type: ignore[call-overload]
    return [chunk async for chunk in chunks]


# --- over HTTP ----------------------------------------------------------------------------------------------------------


async def test_openai_client_reads_a_whole_answer(recordings: Recordings) -> None:
    prompt = recordings.prompts[0]
    async with RecordedLLM(behaviour(model="shown"), recordings=recordings) as llm, client_of(llm) as client:
        answer = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": prompt.user}])
    choice = answer.choices[0]
    draw = next(draw for draw in recordings.draws(prompt.id, "primary") if draw.text == choice.message.content)
    assert choice.finish_reason == draw.finish_reason
    assert answer.model == "shown"
    assert answer.usage is not None
    assert answer.usage.total_tokens == draw.prompt_tokens + draw.completion_tokens


async def test_openai_client_reads_a_streamed_answer_piece_by_piece(recordings: Recordings) -> None:
    prompt = recordings.prompts[1]
    async with RecordedLLM(behaviour(), recordings=recordings) as llm, client_of(llm) as client:
        chunks = await stream(client, prompt.user, usage=False)
        draw = recordings.draws(prompt.id, "primary")[llm.requests[0]["draw"]]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].delta.content for chunk in chunks[1:-1]] == [piece.text for piece in draw.pieces]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + [draw.finish_reason]
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)


async def test_stream_ends_with_usage_where_asked(recordings: Recordings) -> None:
    async with RecordedLLM(behaviour(), recordings=recordings) as llm, client_of(llm) as client:
        chunks = await stream(client, recordings.prompts[0].user, usage=True)
        draw = recordings.draws(recordings.prompts[0].id, "primary")[llm.requests[0]["draw"]]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == draw.completion_tokens
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_stream_on_the_wire_is_events_that_end_in_done(recordings: Recordings) -> None:
    async with RecordedLLM(behaviour(), recordings=recordings) as llm:
        received = await ask_raw(llm, recordings.prompts[0].user, stream=True)
    *events, done, rest = received.dechunked().split(b"\n\n")
    assert received.fields(b"content-type") == [b"text/event-stream; charset=utf-8"]
    assert (done, rest) == (b"data: [DONE]", b"")
    assert all(event.startswith(b"data: {") and "usage" not in orjson.loads(event[6:]) for event in events)


async def test_pieces_are_sent_one_by_one_as_time_passes() -> None:
    """The gap before the second piece is beyond any test's patience: the first must arrive alone, and the client may leave meanwhile."""
    draw = Draw((Piece(0.0, "first"), Piece(3600.0, "second")), "stop", 1, 2)
    prompt = load().prompts[0]
    only = Recordings((prompt,), {(prompt.id, "primary"): (draw,)}, {})
    async with RecordedLLM(Behaviour(), recordings=only) as llm:
        port = int(llm.url.rpartition(":")[2])
        async with RawClient(port) as client:
            client.send(asking(prompt.user, stream=True))
            received = await client.read_until(b"first")
            await ask(port, request("GET", "Connection: close", target="/health"))  # time enough to send the second, were it due
            assert b"second" not in received.data
            assert (llm.count, llm.finished, llm.aborted) == (1, 0, 0)
        await until(lambda: llm.aborted == 1)


async def test_client_that_leaves_is_counted_as_aborted() -> None:
    prompt = load().prompts[0]
    only = Recordings((prompt,), {(prompt.id, "primary"): (Draw((Piece(3600.0, "late"),), "stop", 1, 1),)}, {})
    async with RecordedLLM(Behaviour(), recordings=only) as llm:
        async with RawClient(int(llm.url.rpartition(":")[2])) as client:
            client.send(asking(prompt.user))
            await until(lambda: llm.count == 1)
        await until(lambda: llm.aborted == 1)
        assert (llm.finished, llm.failed) == (0, 0)


async def test_same_prompt_gets_other_answers_but_the_same_ones_for_the_same_seed(recordings: Recordings) -> None:
    async def answers(seed: int) -> list[int]:
        async with RecordedLLM(behaviour(seed=seed), recordings=recordings) as llm:
            for _ in range(12):
                await ask_raw(llm, recordings.prompts[0].user)
            return [entry["draw"] for entry in llm.requests]

    first = await answers(1)
    assert first == await answers(1)
    assert first != await answers(2)
    assert all(one != other for one, other in pairwise(first))


async def test_draws_of_one_prompt_do_not_depend_on_what_else_is_asked(recordings: Recordings) -> None:
    async def draws_of_first(others: int) -> list[int]:
        async with RecordedLLM(behaviour(), recordings=recordings) as llm:
            for _ in range(6):
                await ask_raw(llm, recordings.prompts[0].user)
                for number in range(others):
                    await ask_raw(llm, recordings.prompts[1 + number].user)
            return [entry["draw"] for entry in llm.requests if entry["prompt_id"] == recordings.prompts[0].id]

    assert await draws_of_first(0) == await draws_of_first(2)


async def test_unknown_prompt_gets_the_same_answer_always(recordings: Recordings) -> None:
    async with RecordedLLM(behaviour(), recordings=recordings) as llm, RecordedLLM(behaviour(seed=9), recordings=recordings) as other:
        answers = [await ask_raw(server, user) for server in (llm, other) for user in ("Who are you?", "who  are YOU?")]
    assert len({text_of(answer) for answer in answers}) == 1


async def test_prompt_is_the_last_user_message_in_parts_too(recordings: Recordings) -> None:
    prompt = recordings.prompts[3]
    messages = [
        {"role": "user", "content": recordings.prompts[0].user},
        {"role": "assistant", "content": "Well."},
        {"role": "user", "content": [{"type": "text", "text": prompt.user}, {"type": "image_url", "image_url": {"url": "x"}}]},
    ]
    async with RecordedLLM(behaviour(), recordings=recordings) as llm:
        assert (await ask_raw(llm, "", messages=messages)).status == 200
        assert llm.requests[0]["prompt_id"] == prompt.id


async def test_failures_come_at_their_share_with_their_status(recordings: Recordings) -> None:
    async with RecordedLLM(behaviour(fail_percent=30, fail_status=503), recordings=recordings) as llm:
        statuses = [(await ask_raw(llm, recordings.prompts[0].user)).status for _ in range(60)]
        assert set(statuses) == {200, 503}
        assert 5 <= statuses.count(503) <= 35
        assert (llm.count, llm.failed, llm.finished) == (60, statuses.count(503), statuses.count(200))


async def test_failing_server_raises_the_clients_own_error(recordings: Recordings) -> None:
    async with RecordedLLM(behaviour(fail_percent=100, fail_status=429), recordings=recordings) as llm, client_of(llm) as client:
        with pytest.raises(openai.RateLimitError, match="failing on purpose"):
            await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"messages": "x"}'])
async def test_what_is_no_chat_request_gets_400(recordings: Recordings, body: bytes) -> None:
    async with RecordedLLM(behaviour(), recordings=recordings) as llm:
        head = request("POST", "Connection: close", body=body, target="/v1/chat/completions")
        received = await ask(int(llm.url.rpartition(":")[2]), head)
        assert received.status == 400
        assert orjson.loads(received.body)["error"]["type"] == "invalid_request_error"
        assert llm.failed == 1


async def test_models_and_health(recordings: Recordings) -> None:
    async with RecordedLLM(behaviour(model="shown"), recordings=recordings) as llm, client_of(llm) as client:
        assert [model.id async for model in client.models.list()] == ["shown"]
        port = int(llm.url.rpartition(":")[2])
        assert (await ask(port, request("GET", "Connection: close", target="/health"))).status == 200
        assert llm.count == 0


async def test_log_shows_the_headers_that_arrived(recordings: Recordings) -> None:
    async with RecordedLLM(behaviour(), recordings=recordings) as llm, client_of(llm) as client:
        await stream(client, recordings.prompts[0].user, usage=False)
        log = await ask(int(llm.url.rpartition(":")[2]), request("GET", "Connection: close", target="/_log"))
    shown = orjson.loads(log.body)
    entry = shown["requests"][0]
    assert (shown["count"], shown["finished"], entry["status"]) == (1, 1, 200)
    assert ["authorization", "Bearer sk-test"] in [[name.lower(), value] for name, value in entry["headers"]]
    assert orjson.loads(entry["body"])["messages"][-1]["content"] == recordings.prompts[0].user


async def test_log_is_bounded(recordings: Recordings) -> None:
    async with RecordedLLM(behaviour(fail_percent=100), recordings=recordings) as llm:
        body = b"x" * 20_000
        for _ in range(260):
            await ask(int(llm.url.rpartition(":")[2]), request("POST", "Connection: close", body=body, target="/v1/chat/completions"))
        assert (llm.count, len(llm.requests)) == (260, 256)
        assert llm.requests[0]["number"] == 5
        assert "body" not in llm.requests[0]


async def test_many_streams_at_once_stay_whole(recordings: Recordings) -> None:
    async with RecordedLLM(behaviour(), recordings=recordings) as llm:
        prompts = [recordings.prompts[number % len(recordings.prompts)] for number in range(100)]
        all_received = await asyncio.gather(*(ask_raw(llm, prompt.user, stream=True) for prompt in prompts))
        assert llm.finished == 100
    for prompt, received in zip(prompts, all_received, strict=True):
        events = [orjson.loads(event[6:]) for event in received.dechunked().split(b"\n\n")[:-2]]
        text = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
        assert text in {draw.text for draw in recordings.draws(prompt.id, "primary")}


# --- timing and choice, without a socket --------------------------------------------------------------------------------


def times(**changes: object) -> tuple[float, ...]:
    return play_times(DRAW, Behaviour(**{"jitter_percent": 0.0, **changes}), random.Random(1))  # type: ignore[arg-type]


def test_plain_times_are_those_of_the_recording() -> None:
    assert times() == pytest.approx((0.1, 0.11, 0.13))


def test_speed_divides_every_time() -> None:
    assert times(speed=20.0) == pytest.approx([at_s / 20 for at_s in times()])
    assert times(speed=20.0, extra_ttft_ms=100.0) == pytest.approx([at_s / 20 for at_s in times(extra_ttft_ms=100.0)])


def test_first_and_later_pieces_are_stretched_apart() -> None:
    assert times(ttft_scale=3.0) == pytest.approx((0.3, 0.31, 0.33))
    assert times(itl_scale=3.0) == pytest.approx((0.1, 0.13, 0.19))
    assert times(extra_ttft_ms=50.0) == pytest.approx((0.15, 0.16, 0.18))


def test_jitter_varies_times_but_never_their_order() -> None:
    dice = random.Random(1)
    played = [play_times(DRAW, Behaviour(jitter_percent=50.0), dice) for _ in range(50)]
    assert len(set(played)) == 50
    assert all(one <= other for run in played for one, other in pairwise(run))
    assert all(0.05 <= run[0] <= 0.15 for run in played)


def test_slow_plays_equal_in_twice_the_time() -> None:
    slow = as_played(Behaviour(variant="slow", ttft_scale=1.5))
    assert (slow.variant, slow.ttft_scale, slow.itl_scale) == ("equal", 3.0, 2.0)
    assert as_played(Behaviour(variant="hot")) == Behaviour(variant="hot")


def test_answer_without_pieces_has_no_times() -> None:
    assert play_times(Draw((), "stop", 1, 0), Behaviour(), random.Random(1)) == ()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8])
def test_pool_gives_nothing_again_before_half_of_the_others(size: int) -> None:
    pool = Pool([DRAW] * size, random.Random(3))
    taken = [pool.take()[0] for _ in range(40 * size)]
    for start in range(len(taken)):
        window = taken[start : start + size // 2 + 1]
        assert len(set(window)) == len(window)
    assert set(taken) == set(range(size))


def test_question_without_user_message_is_empty_and_not_an_error() -> None:
    question = read_question(b'{"messages": [{"role": "system", "content": "x"}, 7], "stream": true}')
    assert (question.user, question.streams, question.wants_usage) == ("", True, False)
    with pytest.raises(BadRequest):
        read_question(b"null")


# --- start and end ------------------------------------------------------------------------------------------------------


def test_unknown_variant_is_refused_with_the_known_ones(recordings: Recordings) -> None:
    with pytest.raises(StartError, match=r"no recordings of variant brilliant; take one of slow, .*primary"):
        RecordedLLM(Behaviour(variant="brilliant"), recordings=recordings)


async def test_port_in_use_is_a_start_error(recordings: Recordings) -> None:
    async with RecordedLLM(behaviour(), recordings=recordings) as llm:
        with pytest.raises(StartError, match="choose another port"):
            await RecordedLLM(behaviour(), recordings=recordings, listen=llm.url.removeprefix("http://")).start()


def test_wrong_command_line_ends_with_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="no recordings of variant brilliant"):
        main(["--variant", "brilliant"])
    with pytest.raises(SystemExit):
        main(["--speed", "0"])
    assert "speed must be above 0" in capsys.readouterr().err


async def test_command_prints_where_it_listens_and_ends_on_sigterm(recordings: Recordings) -> None:
    arguments = ["--variant", "hot", "--speed", "200", "--model", "shown", "--seed", "4", "--listen", "127.0.0.1:0"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shadowproxy.testing.recorded", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            url = json.loads(await process.stdout.readline())["listening"]
            received = await ask(int(url.rpartition(":")[2]), asking(recordings.prompts[0].user))
        assert text_of(received) in {draw.text for draw in recordings.draws(recordings.prompts[0].id, "hot")}
        assert orjson.loads(received.body)["model"] == "shown"
        os.kill(process.pid, signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
