"""The page for people: nothing of a stranger's text may become markup, and nothing may be loaded from elsewhere."""

from __future__ import annotations

import re

from tests.admin.clients import client_of
from tests.admin.fake_state import FakeState, pair

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


async def page_of(state: FakeState) -> tuple[str, str]:
    async with client_of(state) as client:
        reply = await client.get("/")
        assert reply.status == 200
        assert reply.headers["content-type"] == "text/html; charset=utf-8"
        return await reply.text(), reply.headers["content-security-policy"]


async def test_policy_lets_only_its_own_script_and_style_run() -> None:
    text, policy = await page_of(FakeState("small"))
    directives = dict(directive.split(" ", 1) for directive in policy.split("; "))
    (nonce,) = set(re.findall(r'nonce="([^"]+)"', text))
    assert directives == {
        "default-src": "'none'",
        "script-src": f"'nonce-{nonce}'",
        "style-src": f"'nonce-{nonce}'",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert "{{" not in text


async def test_nonce_is_new_every_time() -> None:
    state = FakeState("small")
    assert (await page_of(state))[1] != (await page_of(state))[1]


async def test_page_holds_no_data() -> None:
    empty, full = FakeState(), FakeState("small")
    full.kept = [pair(HOSTILE)]
    without_nonce = [re.sub(r'nonce="[^"]+"', "", (await page_of(state))[0]) for state in (empty, full)]
    assert without_nonce[0] == without_nonce[1]


async def test_page_is_self_contained_and_writes_text_nodes_only() -> None:
    text, _ = await page_of(FakeState())
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\b(src|href|style|on[a-z]+)=", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text)
    assert text.count("<script") == text.count("</script>") == 1


async def test_hostile_answer_travels_as_json() -> None:
    state = FakeState("small")
    state.kept = [pair(HOSTILE)]
    async with client_of(state) as client:
        reply = await client.get("/pairs")
        assert reply.content_type == "application/json"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert (await reply.json())["pairs"][0]["primary"]["text"] == HOSTILE
