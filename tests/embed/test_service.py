"""The embedder behind the event loop: batches, cache, failures, the end. The embedder here is a gate the tests hold."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np
import pytest

from shadowproxy.embed.service import WAITING_BATCHES, EmbeddingService
from shadowproxy.embed.windows import Vectors
from shadowproxy.errors import ShadowproxyError, StartError

DEADLINE_S = 30


class HeldEmbedder:
    """Counts letters. Waits in the worker thread while ``gate`` is closed; fails on texts with an exclamation mark."""

    name = "held"
    dimensions = 2

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.threads: set[int] = set()
        self.gate = threading.Event()
        self.gate.set()
        self.windows_embedded = 0
        self.sampled_texts = 0

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(list(texts))
        self.threads.add(threading.get_ident())
        assert self.gate.wait(DEADLINE_S)
        if any("!" in text for text in texts):
            raise RuntimeError("out of memory")
        self.windows_embedded += len(texts)
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)


@pytest.fixture
def embedder() -> HeldEmbedder:
    return HeldEmbedder()


@pytest.fixture
async def service(embedder: HeldEmbedder) -> AsyncIterator[EmbeddingService]:
    service = EmbeddingService(embedder, batch=4, cache_entries=3)
    await service.start()
    embedder.calls.clear()
    yield service
    embedder.gate.set()
    await service.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0)


async def ask_while_held(service: EmbeddingService, embedder: HeldEmbedder, *asked: list[str]) -> list[asyncio.Task[list[Vectors]]]:
    """Hold the model on a first text, then let callers ask; they wait in the queue."""
    embedder.gate.clear()
    first = asyncio.create_task(service.vectors(["first"]))
    await until(lambda: embedder.calls == [["first"]])
    callers = [asyncio.create_task(service.vectors(texts)) for texts in asked]
    for _ in range(5):
        await asyncio.sleep(0)
    return [first, *callers]


async def test_callers_share_a_trip_to_the_model(service: EmbeddingService, embedder: HeldEmbedder) -> None:
    callers = await ask_while_held(service, embedder, ["a", "bb"], ["ccc"], ["dddd", "eeeee"])
    embedder.gate.set()
    _, ab, c, de = await asyncio.gather(*callers)
    assert embedder.calls == [["first"], ["a", "bb", "ccc", "dddd"], ["eeeee"]]
    assert [[vector[0] for vector in found] for found in (ab, c, de)] == [[1, 2], [3], [4, 5]]


async def test_the_model_runs_in_one_thread_off_the_loop(service: EmbeddingService, embedder: HeldEmbedder) -> None:
    await asyncio.gather(*(service.vectors([str(number)]) for number in range(20)))
    assert len(embedder.threads) == 1
    assert threading.get_ident() not in embedder.threads


async def test_equal_texts_of_one_batch_are_embedded_once(service: EmbeddingService, embedder: HeldEmbedder) -> None:
    one, two = await service.vectors(["same", "same"])
    assert embedder.calls == [["same"]]
    assert one is two
    assert (service.texts, service.cache_hits) == (2, 1)


async def test_known_texts_come_from_the_cache(service: EmbeddingService, embedder: HeldEmbedder) -> None:
    (first,) = await service.vectors(["same"])
    (again,) = await service.vectors(["same"])
    assert embedder.calls == [["same"]]
    assert again is first
    assert (service.texts, service.cache_hits) == (2, 1)


async def test_text_that_became_known_while_it_waited_is_not_embedded_again(service: EmbeddingService, embedder: HeldEmbedder) -> None:
    callers = await ask_while_held(service, embedder, ["first", "other"])
    embedder.gate.set()
    await asyncio.gather(*callers)
    assert embedder.calls == [["first"], ["other"]]
    assert service.cache_hits == 1


async def test_least_recently_used_text_leaves_the_cache_first(service: EmbeddingService, embedder: HeldEmbedder) -> None:
    for text in ("a", "b", "c", "a", "d"):  # room for three: d takes the place of b
        await service.vectors([text])
    embedder.calls.clear()
    for text in ("a", "c", "d"):
        await service.vectors([text])
    assert embedder.calls == []
    await service.vectors(["b"])
    assert embedder.calls == [["b"]]


async def test_no_cache_entries_is_no_cache(embedder: HeldEmbedder) -> None:
    service = EmbeddingService(embedder, batch=4, cache_entries=0)
    await service.start()
    await service.vectors(["a"])
    await service.vectors(["a"])
    assert embedder.calls[1:] == [["a"], ["a"]]
    await service.close()


async def test_shared_vectors_cannot_be_written(service: EmbeddingService) -> None:
    (vector,) = await service.vectors(["a"])
    with pytest.raises(ValueError, match="read-only"):
        vector[0] = 9


async def test_failure_reaches_the_callers_of_its_batch_only(service: EmbeddingService, embedder: HeldEmbedder) -> None:
    callers = await ask_while_held(service, embedder, ["a", "b"], ["c!", "d"], ["e"])
    embedder.gate.set()
    first, fine, broken, next_batch = await asyncio.gather(*callers, return_exceptions=True)
    assert embedder.calls == [["first"], ["a", "b", "c!", "d"], ["e"]]
    assert isinstance(first, list)
    assert isinstance(next_batch, list)
    for failed in (fine, broken):
        assert isinstance(failed, ShadowproxyError)
        assert isinstance(failed.__cause__, RuntimeError)
    assert fine is not broken
    # A failure is not remembered.
    assert len(await service.vectors(["a"])) == 1


async def test_full_queue_makes_callers_wait_and_loses_nothing(service: EmbeddingService, embedder: HeldEmbedder) -> None:
    room = 4 * WAITING_BATCHES
    callers = await ask_while_held(service, embedder, *[[f"{number}"] for number in range(room + 10)])
    assert f"waiting={room}" in repr(service)
    embedder.gate.set()
    async with asyncio.timeout(DEADLINE_S):
        assert all(len(found) == 1 for found in await asyncio.gather(*callers))


async def test_cancelled_caller_takes_its_texts_along(service: EmbeddingService, embedder: HeldEmbedder) -> None:
    callers = await ask_while_held(service, embedder, ["unwanted"], ["wanted"])
    callers[1].cancel()
    await asyncio.sleep(0)
    embedder.gate.set()
    await callers[2]
    assert embedder.calls == [["first"], ["wanted"]]
    assert callers[1].cancelled()


async def test_caller_that_failed_takes_its_other_texts_along(embedder: HeldEmbedder) -> None:
    service = EmbeddingService(embedder, batch=1, cache_entries=0)
    await service.start()
    embedder.calls.clear()
    callers = await ask_while_held(service, embedder, ["a!", *(f"b{number}" for number in range(3))], ["c"])
    embedder.gate.set()
    await asyncio.gather(*callers, return_exceptions=True)
    # b0 may have been on its way to the model when the failure was told.
    assert "b2" not in [text for call in embedder.calls for text in call]
    assert embedder.calls[-1] == ["c"]
    await service.close()


async def test_cancelled_caller_does_not_disturb_one_with_the_same_text(service: EmbeddingService, embedder: HeldEmbedder) -> None:
    callers = await ask_while_held(service, embedder, ["same"], ["same"])
    callers[1].cancel()
    embedder.gate.set()
    assert len(await callers[2]) == 1


async def test_close_fails_everyone_who_waits_even_for_room(embedder: HeldEmbedder) -> None:
    """Callers blocked on a full queue outnumber its room: emptying it once would leave the rest waiting for ever."""
    service = EmbeddingService(embedder, batch=1, cache_entries=0)
    await service.start()
    embedder.calls.clear()
    callers = await ask_while_held(service, embedder, *[[f"{number}", "more"] for number in range(5 * WAITING_BATCHES)])
    closing = asyncio.create_task(service.close())
    await asyncio.sleep(0)
    embedder.gate.set()
    async with asyncio.timeout(DEADLINE_S):
        await closing
        ends = await asyncio.gather(*callers, return_exceptions=True)
    assert all(isinstance(end, ShadowproxyError) for end in ends)
    assert embedder.calls == [["first"]]
    assert not any(thread.name.startswith("embed") for thread in threading.enumerate())


async def test_closed_service_says_so(embedder: HeldEmbedder) -> None:
    service = EmbeddingService(embedder, batch=4, cache_entries=3)
    await service.start()
    await service.vectors(["known"])
    await service.close()
    with pytest.raises(ShadowproxyError, match="closed"):
        await service.vectors(["a"])
    with pytest.raises(ShadowproxyError, match="closed"):
        await service.vectors(["known", "b"])


async def test_start_warms_the_model_up_and_counters_tell_the_work(embedder: HeldEmbedder) -> None:
    service = EmbeddingService(embedder, batch=4, cache_entries=3)
    await service.start()
    assert len(embedder.calls) == 1
    await service.vectors(["a", "b"])
    assert service.windows == 3
    assert service.sampled_texts == 0
    assert service.model_seconds > 0
    await service.close()


async def test_failing_model_fails_the_start(embedder: HeldEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(texts: Sequence[str]) -> Vectors:
        raise RuntimeError("no weights")

    monkeypatch.setattr(embedder, "encode", broken)
    service = EmbeddingService(embedder, batch=4, cache_entries=3)
    with pytest.raises(StartError, match="no weights"):
        await service.start()
    await service.close()
