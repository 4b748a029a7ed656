"""An API server on its bad days, a lease that two controllers want, and what becomes of the weights."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from shadowproxy.errors import RouterBusy, RouterConflict, RouterRefused
from shadowproxy.promote.json_patch import ObjectPatch, ObjectRef
from shadowproxy.promote.kube import delay_of
from shadowproxy.promote.lease import Lease
from shadowproxy.promote.memory import ConfigMapMemory
from shadowproxy.promote.phases import Phase
from shadowproxy.promote.routers.objects import ObjectRouter
from shadowproxy.testing.clock import ManualClock
from shadowproxy.testing.kubernetes import FakeKubernetes, Fault
from tests.promote.accidents import WatchedRouter
from tests.promote.objects import CHECKS, HAS_CRDS, VIRTUAL_SERVICE, read
from tests.promote.steering import STEP_S, Bench
from tests.promote.worlds import CLUSTER_WORLDS, ISTIO, close_clients, cluster_world, reach

REF = ISTIO.objects[0]


@pytest.fixture
async def api() -> AsyncIterator[FakeKubernetes]:
    async with FakeKubernetes(CHECKS) as made:
        made.put(REF.group, REF.version, REF.plural, read(VIRTUAL_SERVICE))
        yield made
        await close_clients()


@pytest.fixture(params=CLUSTER_WORLDS)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with cluster_world(request.param, CLUSTER_WORLDS[request.param]) as made:
        yield Bench(made)


class Once:
    """A fault at the ``nth`` request of a method."""

    def __init__(self, fault: Fault, method: str, nth: int = 1) -> None:
        self.fault = fault
        self.method = method
        self.left = nth

    def __call__(self, method: str, path: str) -> Fault | None:
        self.left -= method == self.method
        return self.fault if method == self.method and self.left == 0 else None


@pytest.mark.parametrize("after", [False, True], ids=["lost", "done, and the answer lost"])
@pytest.mark.parametrize("status", [429, 500, 503, 504])
async def test_server_in_trouble_is_asked_again_later_and_the_step_is_taken_once(bench: Bench, status: int, after: bool) -> None:
    await bench.look("hold")
    assert bench.world.api is not None
    bench.world.api.fault = Once(Fault(status, b"Too many requests, please try again later.", "7", after=after), "PATCH")
    bench.judge("promote")
    await bench.controller.look()
    assert str(status) in bench.controller.standing.problem
    record = await bench.recorded()
    assert record is not None
    assert not record.settled or record.percent == bench.world.percent()
    await bench.controller.look()
    assert str(status) in bench.controller.standing.problem, "it is left alone for as long as it asked"
    await bench.look("promote", 7)
    assert bench.world.percent() == 1
    assert bench.progress.step == 0


@pytest.mark.parametrize("after", [False, True], ids=["lost", "done, and the answer lost"])
async def test_answer_that_never_comes_is_a_timeout_and_no_second_step(after: bool) -> None:
    async with cluster_world("llminferenceservice", CLUSTER_WORLDS["llminferenceservice"]) as world:
        bench = Bench(world)
        await bench.look("hold")
        assert world.api is not None
        kube = reach(world.api, timeout_s=0.2)
        router, memory = ObjectRouter(kube, CLUSTER_WORLDS["llminferenceservice"]), ConfigMapMemory(kube, "llm", "shadowproxy-v2")
        bench.start(router, memory)
        world.api.fault = Once(Fault(0, after=after), "PATCH", nth=2)
        bench.judge("promote")
        await bench.controller.look()
        assert "0.2 s" in bench.controller.standing.problem
        record = await bench.recorded()
        assert record is not None
        assert (record.percent, record.settled) == (1, False)
        assert world.percent() <= 1
        await bench.look("hold", 10)
        assert world.percent() == 1, "what was begun is finished, on hold too, and no more"
        assert bench.progress.settled


async def test_server_that_is_not_there_is_busy(api: FakeKubernetes) -> None:
    kube = reach(api)
    await api.__aexit__()
    with pytest.raises(RouterBusy, match="cannot be reached"):
        await kube.read(REF)
    await api.__aenter__()


@pytest.mark.parametrize(
    ("fault", "expected", "match"),
    [
        (Fault(401, b'{"message": "Unauthorized"}'), RouterRefused, "Unauthorized.*Role"),
        (Fault(403, b'{"message": "cannot patch"}'), RouterRefused, "cannot patch"),
        (Fault(404, b""), RouterRefused, "is not there"),
        (Fault(409, b'{"message": "modified"}'), RouterConflict, "modified"),
        (Fault(302, b""), RouterRefused, "302"),
        (Fault(200, b"<html>"), RouterRefused, "does not decode"),
        (Fault(200, b"[]"), RouterRefused, "does not decode"),
        (Fault(503, b"\xff\xfe" * 1000), RouterBusy, "503"),
    ],
)
async def test_answers_are_translated(api: FakeKubernetes, fault: Fault, expected: type[Exception], match: str) -> None:
    kube = reach(api)
    api.fault = lambda *_: fault
    with pytest.raises(expected, match=match):
        await kube.read(REF)


@pytest.mark.parametrize(("told", "delay_s"), [("12", 12.0), ("99999", 300.0), ("", 5.0), ("Wed, 21 Oct", 5.0), ("-1", 5.0), ("²", 5.0)])
def test_delay_is_the_servers_within_reason(told: str, delay_s: float) -> None:
    assert delay_of(told) == delay_s


async def test_test_that_fails_is_a_conflict(api: FakeKubernetes) -> None:
    kube = reach(api)
    stale = ObjectPatch(REF, ({"op": "test", "path": "/metadata/resourceVersion", "value": "0"},))
    with pytest.raises(RouterConflict):
        await kube.patch(stale)


@pytest.mark.skipif(not HAS_CRDS, reason="CRD schemas (../shared/crds) are not there")
async def test_patch_that_is_not_valid_is_refused(api: FakeKubernetes) -> None:
    kube = reach(api)
    version = (await kube.read(REF))["metadata"]["resourceVersion"]
    wrong = {"op": "replace", "path": "/spec/http/1/route/0/weight", "value": "many"}
    with pytest.raises(RouterRefused):
        await kube.patch(ObjectPatch(REF, ({"op": "test", "path": "/metadata/resourceVersion", "value": version}, wrong)))


async def test_config_map_is_written_by_one_of_two(api: FakeKubernetes) -> None:
    kube = reach(api)
    one, other = ConfigMapMemory(kube, "llm", "m"), ConfigMapMemory(kube, "llm", "m")
    assert await one.read() is None
    await other.read()
    await one.write("1")
    with pytest.raises(RouterConflict):
        await other.write("2")
    assert await other.read() == "1"
    await other.write("3")
    with pytest.raises(RouterConflict):
        await one.write("4")


# --- the lease ----------------------------------------------------------------------------------------------------------


def lease(api: FakeKubernetes, name: str, clock: ManualClock) -> Lease:
    return Lease(reach(api), "llm", "shadowproxy-judge", name, duration_s=15.0, clock=clock, wall_clock=clock)


async def test_one_of_two_leads_and_the_other_follows_when_it_falls_silent(api: FakeKubernetes) -> None:
    clock = ManualClock(100.0)
    one, other = lease(api, "one", clock), lease(api, "other", clock)
    await one.renew()
    await other.renew()
    assert (one.is_held(), other.is_held()) == (True, False)
    clock.advance(9.9)
    assert one.is_held()
    clock.advance(0.2)
    assert not one.is_held(), "it stops before the lease expires"
    await other.renew()
    assert not other.is_held(), "and nobody acts before it has"
    clock.advance(5.0)
    await other.renew()
    assert other.is_held()
    await one.renew()
    assert not one.is_held()
    assert one.holder == "other"
    assert api.all("coordination.k8s.io", "leases")[0]["spec"]["leaseTransitions"] == 1


async def test_never_two_leaders_whatever_happens_when(api: FakeKubernetes) -> None:
    chance = random.Random(4)
    clocks = [ManualClock(0.0), ManualClock(5000.0)]
    leases = [lease(api, str(number), clock) for number, clock in enumerate(clocks)]
    led = set()
    for _ in range(300):
        by = chance.choice([0.3, 2.0, 6.0])
        for clock in clocks:
            clock.advance(by)
        api.fault = (lambda *_: Fault(500)) if chance.random() < 0.2 else (lambda *_: None)
        await asyncio.gather(*(each.renew() for each in leases if chance.random() < 0.6))
        holders = [number for number, each in enumerate(leases) if each.is_held()]
        assert len(holders) <= 1
        led.update(holders)
    assert led == {0, 1}


async def test_released_lease_is_taken_at_once(api: FakeKubernetes) -> None:
    clock = ManualClock()
    one, other = lease(api, "one", clock), lease(api, "other", clock)
    await one.renew()
    await one.release()
    assert not one.is_held()
    await other.renew()
    assert other.is_held()


async def test_loser_never_acts_and_takes_over_where_the_leader_ended(bench: Bench) -> None:
    api, clock = bench.world.api, ManualClock()
    assert api is not None
    one, other = lease(api, "one", clock), lease(api, "other", clock)
    routers = [WatchedRouter(bench.world.connect()[0]) for _ in range(2)]
    first = bench.start(routers[0], bench.world.connect()[1], one)
    second = bench.start(routers[1], bench.world.connect()[1], other)
    await one.renew()
    for _ in range(3):
        bench.clock.advance(STEP_S)
        bench.judge("promote")
        await asyncio.gather(first.look(), second.look())
    assert routers[1].made == 0
    assert second.standing.waits_for == "another controller, which leads"
    assert bench.world.percent() == 5
    await second.look()
    clock.advance(16.0)
    bench.judge("rollback")
    await second.look()
    assert bench.world.percent() == 0
    made = routers[0].made
    await first.look()
    assert routers[0].made == made
    assert second.standing.progress is not None
    assert second.standing.progress.phase is Phase.ROLLED_BACK


async def test_leader_whose_lease_runs_out_while_it_reads_writes_nothing(bench: Bench) -> None:
    api, clock = bench.world.api, ManualClock()
    assert api is not None
    await bench.look("hold")
    held = lease(api, "one", clock)

    class Slow(WatchedRouter):
        def weigh(self, *args: object) -> tuple[object, ...]:  # type: ignore[override]
            clock.advance(11.0)
            return super().weigh(*args)  # type: ignore[arg-type]

    router, memory = bench.world.connect()
    slow = Slow(router)
    bench.start(slow, memory, held)
    bench.judge("promote")
    await bench.controller.look()
    assert "the lease ran out" in bench.controller.standing.problem
    assert slow.made == 0
    assert bench.world.percent() == 0


async def test_lease_that_is_forbidden_holds_and_says_so(bench: Bench) -> None:
    api = bench.world.api
    assert api is not None
    await bench.look("hold")
    api.fault = lambda _, path: Fault(403, b'{"message": "leases are forbidden"}') if "/leases" in path else None
    bench.start(*bench.world.connect(), lease(api, "one", ManualClock()))
    bench.judge("promote")
    await bench.controller.look()
    assert "leases are forbidden" in bench.controller.standing.problem
    assert bench.world.percent() == 0


async def test_two_that_both_think_they_lead_take_each_step_once(bench: Bench) -> None:
    first = bench.start()
    second = bench.start()
    seen = []
    for state in ("hold", *("promote" for _ in bench.world.steps)):
        bench.clock.advance(STEP_S)
        bench.judge(state)
        await asyncio.gather(first.look(), second.look())
        seen.append(bench.world.percent())
    assert seen == [0, *bench.world.steps]


def test_lease_and_object_have_their_places() -> None:
    assert ObjectRef("", "v1", "configmaps", "ConfigMap", "n", "m").path == "/api/v1/namespaces/n/configmaps"
    assert REF.path == "/apis/networking.istio.io/v1/namespaces/llm/virtualservices"
