"""Computing beside an event loop that keeps time."""

from __future__ import annotations

import asyncio
import threading
import time

from shadowproxy.tasks import Tasks
from shadowproxy.workbench import Workbench
from tests.gateway.wires import until


async def test_results_come_back_on_the_loop_in_order() -> None:
    tasks, done = Tasks(), []
    bench, loop_thread = Workbench("test", tasks), threading.get_ident()
    for number in range(50):
        bench.submit(lambda number=number: (number, threading.get_ident()), lambda found: done.append((*found, threading.get_ident())))
    await until(lambda: len(done) == 50)
    assert [number for number, _, _ in done] == list(range(50))
    assert all(there != loop_thread for _, there, _ in done)
    assert all(here == loop_thread for _, _, here in done)
    bench.close()
    await tasks.close()


async def test_loop_goes_on_while_work_is_done() -> None:
    tasks, done = Tasks(), []
    bench, released = Workbench("test", tasks), threading.Event()
    bench.submit(lambda: released.wait(10), done.append)
    for _ in range(5):
        await asyncio.sleep(0)  # nothing here waits for the thread
    assert not done
    released.set()
    await until(lambda: done == [True])
    bench.close()
    await tasks.close()


async def test_closed_bench_does_nothing_more() -> None:
    tasks, done = Tasks(), []
    bench, started, released = Workbench("test", tasks), threading.Event(), threading.Event()

    def held() -> str:
        started.set()
        released.wait(10)
        return "held"

    bench.submit(held, done.append)
    await until(started.is_set)
    bench.submit(lambda: "late", done.append)
    bench.close()
    bench.submit(lambda: "too late", done.append)
    released.set()
    deadline = time.monotonic() + 30
    while len(tasks) and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert "late" not in done
    assert "too late" not in done
    await tasks.close()
