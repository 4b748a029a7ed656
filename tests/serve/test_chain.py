"""Two proxies in a row over Unix sockets: stable sampling, and copies that do not multiply."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from shadowproxy.testing.echo import EchoServer
from tests.serve.serving import serving
from tests.serve.wire import ECHO_ROUTE, Caller, echo_tree, request

REQUESTS = 200
PERCENT = 50


def is_sampled(request_id: str) -> bool:
    """The stable hash of the documentation, written down a second time: the id without its 15th character, which Envoy rewrites."""
    key = (request_id[:14] + request_id[15:]).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") < PERCENT / 100 * 2**64


async def test_chain_over_unix_sockets_samples_stably_and_does_not_multiply() -> None:
    """outer: primary and candidate are both the inner proxy. inner: mirrors what clients asked, never what outer copied."""
    ids = [f"{number:08x}-5f0e-4a1b-9c2d-{number * 7919:012x}" for number in range(REQUESTS)]
    predicted = sum(is_sampled(each) for each in ids)
    assert 0 < predicted < REQUESTS
    async with EchoServer(lifetime_s=600) as primary, EchoServer(lifetime_s=600) as candidate:
        inner_tree = {
            "primary": {"url": primary.url},
            "candidates": [{"name": "v3", "url": candidate.url}],
            "embed": {"backend": "none"},
            "routes": [ECHO_ROUTE],
        }
        async with serving(inner_tree) as tcp_side:
            # The sockets live in a folder that the first serve owns and that is short enough for a socket path.
            folder = tcp_side.folder
            listen, admin, middle = (f"unix:{folder}/{name}" for name in ("o", "a", "m"))
            relay_tree = {"listen": middle, "primary": {"url": tcp_side.url}, "embed": {"backend": "none"}, "routes": [ECHO_ROUTE]}
            outer_tree = {
                "listen": listen,
                "primary": {"url": middle},
                "candidates": [{"name": "v2", "url": middle}],
                "mirror": {"percent": PERCENT},
                "embed": {"backend": "none"},
                "routes": [ECHO_ROUTE],
                "admin": {"listen": admin},
            }
            async with serving(relay_tree), serving(outer_tree) as outer, Caller(listen) as caller:
                assert outer.address == listen
                assert outer.admin == admin
                for each in ids:
                    reply = await caller.ask(request("POST", b"{}", f"x-request-id: {each}"))
                    assert reply.status == 200
                scrape = await outer.wait_for("shadowproxy_pairs_resolved_total", predicted, arm="candidate", outcome="ok")
                assert scrape.value("shadowproxy_pairs_issued_total", arm="candidate") == predicted
                await outer.wait_for("shadowproxy_not_mirrored_total", REQUESTS - predicted, reason="sampled_out")
                inner = await tcp_side.wait_for("shadowproxy_pairs_resolved_total", REQUESTS, outcome="ok")
                assert inner.value("shadowproxy_pairs_issued_total") == REQUESTS
                await tcp_side.wait_for("shadowproxy_not_mirrored_total", predicted, reason="already_mirrored")
            assert primary.requests == REQUESTS + predicted
            assert candidate.requests == REQUESTS
            assert not any(Path(address[5:]).exists() for address in (listen, admin, middle))


async def test_port_for_other_mirrors_copies_forwards_and_mirrors_nothing() -> None:
    async with EchoServer(lifetime_s=600) as primary, EchoServer(lifetime_s=600) as candidate:
        tree = echo_tree(primary.url, candidate.url, workers=2)
        with tempfile.TemporaryDirectory() as folder:
            address = f"unix:{folder}/mirrored"
            async with serving({**tree, "listen_mirrored": address}) as serve:
                asked = request("POST", b'{"messages":[]}')
                async with Caller(address) as mesh, Caller(serve.url) as client:
                    assert (await mesh.ask(asked)).seen == (await client.ask(asked)).seen
                await serve.wait_for("shadowproxy_pairs_resolved_total", 1)
                scrape = await serve.wait_for("shadowproxy_not_mirrored_total", 1)  # from another worker, perhaps
                assert scrape.by("reason", "shadowproxy_not_mirrored_total") == {"already_mirrored": 1}
            assert not Path(folder, "mirrored").exists()
