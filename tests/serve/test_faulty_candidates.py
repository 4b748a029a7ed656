"""Candidates that hang, refuse, send garbage or never end, and what a verdict makes of good and bad ones."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from shadowproxy.testing.echo import EchoServer
from shadowproxy.testing.faults import FaultyServer
from tests.serve.serving import serving
from tests.serve.wire import ECHO_ROUTE, Caller, ask, request

REQUESTS = 10


async def test_each_way_of_being_broken_has_its_own_outcome_and_no_client_notices() -> None:
    async with contextlib.AsyncExitStack() as stack:
        primary = await stack.enter_async_context(EchoServer(lifetime_s=600))
        hang, garbage, endless = [await stack.enter_async_context(FaultyServer(fault)) for fault in ("hang", "garbage", "endless")]
        refusing = stack.enter_context(socket.socket())
        refusing.bind(("127.0.0.1", 0))  # bound and not listening: refuses, and nobody else can take the port
        port = refusing.getsockname()[1]
        arms = {"hangs": hang.url, "refuses": f"http://127.0.0.1:{port}", "garbles": garbage.url, "never-ends": endless.url}
        tree = {
            "primary": {"url": primary.url},
            "candidates": [{"name": name, "url": url, "timeout_s": 2 if name == "hangs" else 30} for name, url in arms.items()],
            "embed": {"backend": "none"},
            "routes": [ECHO_ROUTE],
        }
        serve = await stack.enter_async_context(serving(tree))
        asked = request("POST", b'{"messages":[]}')
        direct = await ask(primary.url, asked)
        async with Caller(serve.url) as caller:
            for _ in range(REQUESTS):
                assert (await caller.ask(asked)).seen == direct.seen
        scrape = await serve.wait_for("shadowproxy_pairs_resolved_total", REQUESTS * len(arms), within_s=30)
        rollouts = {name: (await serve.verdict(name))["rollout"] for name in arms}
        outcomes = {name: scrape.by("outcome", "shadowproxy_pairs_resolved_total", rollout=rollouts[name]) for name in arms}
        assert outcomes == {
            "hangs": {"timeout": REQUESTS},
            "refuses": {"connect_failed": REQUESTS},
            "garbles": {"protocol_error": REQUESTS},
            "never-ends": {"too_large": REQUESTS},
        }
        for rollout in rollouts.values():  # a missing answer is evidence, not a gap
            assert scrape.by("cell", "shadowproxy_cells_total", rollout=rollout, check="error") == {"candidate_only": REQUESTS}
        assert scrape.value("shadowproxy_step_failures_total") == 0


async def test_failing_candidate_is_rolled_back_soon_and_an_equal_one_never() -> None:
    """Forty pairs are enough to see that every answer is a 500; two hundred equal ones say nothing against a candidate."""
    async with EchoServer(lifetime_s=600) as primary, EchoServer(lifetime_s=600) as equal, FaultyServer("error_500") as broken:
        tree = {
            "primary": {"url": primary.url},
            # One at a time, as the client asks the primary: else one stall of a busy machine is in ten copies and in one of its answers.
            "candidates": [
                {"name": "equal", "url": equal.url, "concurrency": 1},
                {"name": "broken", "url": broken.url, "concurrency": 1},
            ],
            "embed": {"backend": "none"},
            "routes": [ECHO_ROUTE],
            "gates": {"ttft": {"calibration_pairs": 20}},
            "verdict": {"interval_s": 0.05, "min_pairs": 20, "soak_s": 0.5},
        }
        async with serving(tree) as serve, Caller(serve.url) as caller:
            for number in range(1, 6):
                for _ in range(40):
                    assert (await caller.ask(request("POST", b"{}"))).status == 200
                await serve.wait_for("shadowproxy_pairs_resolved_total", number * 80)
                bad, good = await serve.verdict("broken"), await serve.verdict("equal")
                async with asyncio.timeout(30):
                    while not (bad["issued"] == good["issued"] == number * 40 and bad["unresolved"] == good["unresolved"] == 0):
                        bad, good = await serve.verdict("broken"), await serve.verdict("equal")
                assert bad["state"] == "rollback"
                assert bad["reasons"][0]["code"] == "worse:error"
                assert bad["reasons"][0]["gate"] == "error"
                assert good["state"] != "rollback", good["reasons"]
                scrape = await serve.scrape()
                assert scrape.value("shadowproxy_verdict", rollout=good["rollout"], state="rollback") == 0
                assert scrape.value("shadowproxy_verdict", rollout=bad["rollout"], state="rollback") == 1
