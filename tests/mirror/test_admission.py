from __future__ import annotations

import orjson
import pytest

from shadowproxy.exchange import Request
from shadowproxy.mirror.admission import ArmShare, arms_for, refusal_of


def request(body: object) -> Request:
    return Request("POST", "/v1/responses", (), orjson.dumps(body))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"model": "m", "messages": []}, ""),
        ({"previous_response_id": "r1"}, "stateful"),
        ({"conversation": "c1"}, "stateful"),
        ({"background": True}, "background"),
        ({"background": False, "previous_response_id": None}, ""),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, ""),
        ({"tools": [{"name": "f", "input_schema": {}}]}, ""),
        ({"tools": [{"type": "function"}, {"type": "mcp", "server_url": "https://x"}]}, "hosted_tools"),
        ({"tools": [{"type": "web_search"}]}, "hosted_tools"),
        ({"mcp_servers": [{"type": "url", "url": "https://x"}]}, "hosted_tools"),
        ({"mcp_servers": []}, ""),
        ({"tools": "odd"}, ""),
        ([1, 2], ""),
    ],
)
def test_side_effects_stay_with_the_primary(body: object, reason: str) -> None:
    assert refusal_of(request(body)) == reason


def test_body_that_is_not_json_may_be_mirrored() -> None:
    assert refusal_of(Request("POST", "/v2/models/m/infer", ((b"content-type", b"application/octet-stream"),), b"\xff\x00")) == ""


@pytest.mark.parametrize(
    "body",
    [
        b'{"previous_response_id": "r1", "x": NaN}',
        b'\xef\xbb\xbf{"background": true}',
        '{"background": true}'.encode("utf-16"),
        b'{"tools": [{"type": "mcp"}], "t": 1e999',
        b'{"conversation": "\\ud800"}',
    ],
)
def test_what_a_server_may_read_and_we_cannot_is_not_mirrored(body: bytes) -> None:
    assert refusal_of(Request("POST", "/v1/responses", (), body)) in ("unreadable_request", "stateful")


def test_compressed_request_is_not_mirrored() -> None:
    assert refusal_of(Request("POST", "/v1/responses", ((b"content-encoding", b"gzip"),), b"\x1f\x8b")) == "unreadable_request"


def test_escaped_field_names_hide_nothing() -> None:
    body = b'{"previous\\u005fresponse_id": "r1"}'
    assert refusal_of(Request("POST", "/v1/responses", (), body)) == "stateful"


def test_shares_are_stable_and_close_to_what_was_asked() -> None:
    shares = (ArmShare("v2", 0.3), ArmShare("v3", 1.0), ArmShare("v4", 0.0))
    chosen = [arms_for(f"id-{number}", shares) for number in range(4000)]
    assert chosen == [arms_for(f"id-{number}", shares) for number in range(4000)]
    assert all("v3" in arms and "v4" not in arms for arms in chosen)
    assert abs(sum("v2" in arms for arms in chosen) / 4000 - 0.3) < 0.03


def test_two_arms_draw_independently() -> None:
    shares = (ArmShare("a", 0.5), ArmShare("b", 0.5))
    both = sum(len(arms_for(f"id-{number}", shares)) == 2 for number in range(4000))
    assert abs(both / 4000 - 0.25) < 0.03
