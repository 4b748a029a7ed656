"""The embedder as the event loop sees it: awaited, batched across callers, cached, in one thread.

``shadow`` awaits :meth:`EmbeddingService.vectors` between comparing and counting. One thread, because the embedder takes one call at a
time and more would take cores from the production path.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from shadowproxy.embed.loading import Embedder
from shadowproxy.embed.windows import Vectors
from shadowproxy.errors import ShadowproxyError, StartError
from shadowproxy.tasks import Tasks

#: Texts that may wait, in batches. 16 batches of 8 are some seconds of work for one core. When it is full the callers wait for room:
#: nothing is dropped here, because the pipeline above bounds how many exchanges it has open and counts those it refuses.
WAITING_BATCHES = 16


@dataclass(frozen=True, slots=True)
class _Job:
    key: bytes
    text: str
    vector: asyncio.Future[Vectors]


class EmbeddingService:
    """Vectors for texts. Use between :meth:`start` and :meth:`close`, on one event loop.

    ``batch`` is how many texts one trip to the thread takes, ``cache_entries`` how many vectors are kept (least recently used goes
    first; 0 keeps none). ``texts`` counts texts asked for; ``cache_hits`` those of them that cost no computation, because their
    vector was kept or an equal text stood in the same batch; ``model_seconds`` is time spent in the embedder.
    """

    def __init__(self, embedder: Embedder, *, batch: int, cache_entries: int) -> None:
        self._embedder = embedder
        self._batch = batch
        self._cache_entries = cache_entries
        self._cache: OrderedDict[bytes, Vectors] = OrderedDict()
        self._waiting: asyncio.Queue[_Job] = asyncio.Queue(maxsize=batch * WAITING_BATCHES)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embed")
        self._tasks = Tasks()
        self._is_closed = False
        self.texts = 0
        self.cache_hits = 0
        self.model_seconds = 0.0

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else f"waiting={self._waiting.qsize()} cached={len(self._cache)}"
        return f"<EmbeddingService {self._embedder.name} {state}>"

    @property
    def windows(self) -> int:
        """Windows given to the model; a long text has several."""
        return self._embedder.windows_embedded

    @property
    def sampled_texts(self) -> int:
        """Texts too long to be read whole."""
        return self._embedder.sampled_texts

    async def start(self) -> None:
        """Embed one text, so that the first comparison does not pay for the model's first run, then take work.

        Raises :class:`StartError` where the model does not run.
        """
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._embedder.encode, ["warm up"])
        except Exception as exc:  # a model is foreign code
            raise StartError(
                f"embed: {self._embedder.name} does not run ({exc}); choose another embed.model, or embed.backend none"
            ) from exc
        self._tasks.start("embed", self._run())

    async def close(self) -> None:
        """Fail what waits, end after the batch in progress."""
        self._is_closed = True
        self._fail_waiting()
        await self._tasks.close()
        await asyncio.to_thread(self._thread.shutdown, wait=True, cancel_futures=True)

    async def vectors(self, texts: Sequence[str]) -> list[Vectors]:
        """One read-only vector per text, in order.

        Waits while the queue is full. Raises :class:`ShadowproxyError` where the model failed on a batch that held one of these
        texts, or where the service is closed. A caller that is cancelled takes its texts out of the queue.
        """
        self.texts += len(texts)
        loop = asyncio.get_running_loop()
        jobs = [_Job(_key(text), text, loop.create_future()) for text in texts]
        try:
            for job in jobs:
                await self._submit(job)
            return list(await asyncio.gather(*(job.vector for job in jobs)))
        finally:
            # Nobody waits any more. Cancelling takes what still waits out of the queue; on a failed future it does nothing but mark
            # the failure as seen, so that asyncio does not complain that nobody looked.
            for job in jobs:
                job.vector.cancel()

    async def _submit(self, job: _Job) -> None:
        if (kept := self._kept(job.key)) is not None:
            self.cache_hits += 1
            job.vector.set_result(kept)
            return
        if not self._is_closed:
            await self._waiting.put(job)
        if self._is_closed:
            # Closed before, or while waiting for room. Emptying the queue wakes the next caller that waits for room.
            self._fail_waiting()
            raise ShadowproxyError("the embedding service is closed")

    def _fail_waiting(self) -> None:
        while not self._waiting.empty():
            job = self._waiting.get_nowait()
            if not job.vector.done():
                job.vector.set_exception(ShadowproxyError("the embedding service is closed"))

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            jobs = [await self._waiting.get()]
            while len(jobs) < self._batch and not self._waiting.empty():
                jobs.append(self._waiting.get_nowait())
            kept = {job.key: vector for job in jobs if (vector := self._kept(job.key)) is not None}
            # By digest: equal texts are embedded once. Cancelled ones not at all.
            texts = {job.key: job.text for job in jobs if job.key not in kept and not job.vector.done()}
            try:
                found = await loop.run_in_executor(self._thread, self._timed, list(texts.values())) if texts else ()
            except asyncio.CancelledError:
                _fail(jobs, ShadowproxyError("the embedding service is closed"))
                raise
            except Exception as exc:  # noqa: BLE001 - a model is foreign code; its failure belongs to the callers of this batch
                _fail(jobs, exc)
                continue
            self._settle(jobs, kept, dict(zip(texts, found, strict=True)))

    def _timed(self, texts: list[str]) -> Vectors:
        began = time.perf_counter()
        try:
            return self._embedder.encode(texts)
        finally:
            self.model_seconds += time.perf_counter() - began

    def _settle(self, jobs: Sequence[_Job], kept: dict[bytes, Vectors], found: dict[bytes, Vectors]) -> None:
        # Copies, because a row would keep its whole batch alive; read-only, because callers share them.
        fresh = {key: row.copy() for key, row in found.items()}
        for row in fresh.values():
            row.setflags(write=False)
        unpaid = set(fresh)
        for job in jobs:
            if job.vector.done():
                continue
            if job.key in unpaid:
                unpaid.remove(job.key)
            else:
                self.cache_hits += 1
            job.vector.set_result(fresh[job.key] if job.key in fresh else kept[job.key])
        for key, row in fresh.items():
            self._keep(key, row)

    def _kept(self, key: bytes) -> Vectors | None:
        if (vector := self._cache.get(key)) is not None:
            self._cache.move_to_end(key)
        return vector

    def _keep(self, key: bytes, vector: Vectors) -> None:
        self._cache[key] = vector
        while len(self._cache) > self._cache_entries:
            self._cache.popitem(last=False)


def _key(text: str) -> bytes:
    # surrogatepass: JSON can carry lone surrogates.
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _fail(jobs: Sequence[_Job], cause: Exception) -> None:
    """Each waiting caller gets an error of its own: one exception raised in several tasks would mix their tracebacks."""
    for job in jobs:
        if not job.vector.done():
            error = ShadowproxyError(f"embedding failed: {cause}")
            error.__cause__ = cause
            job.vector.set_exception(error)
