from __future__ import annotations

import orjson
import pytest

from shadowproxy.errors import ProtocolError
from shadowproxy.exchange import CREDENTIAL_HEADERS, Request
from shadowproxy.mirror.rewrite import ArmRewrite, is_http
from shadowproxy.mirror.rewrite import copy_of as copy_with_span
from tests.gateway.wires import split

HEADERS = (
    (b"content-type", b"application/json"),
    (b"content-length", b"99"),
    (b"transfer-encoding", b"chunked"),
    (b"accept-encoding", b"gzip"),
    (b"host", b"public.example"),
    (b"traceparent", b"00-a-b-01"),
    (b"x-tenant", b"t1"),
)


def copy_of(request: Request, arm: ArmRewrite) -> bytes:
    return copy_with_span(request, arm, b"b7ad6b7169203331")


def rewrite(**changes: object) -> ArmRewrite:
    return ArmRewrite(**{"arm": "v2", "authority": b"candidate:80", "path_prefix": b"", **changes})


def test_copy_is_marked_reframed_and_otherwise_the_same() -> None:
    body = b'{"model": "m",   "n":1}'
    first, headers, sent = split(copy_of(Request("POST", "/v1/chat/completions?a=1", HEADERS, body), rewrite(path_prefix=b"/base")))
    assert first == b"POST /base/v1/chat/completions?a=1 HTTP/1.1"
    assert sent == body
    assert headers[b"content-length"] == b"%d" % len(body)
    assert headers[b"x-shadowproxy-arm"] == b"v2"
    assert headers[b"host"] == b"candidate:80"
    assert headers[b"accept-encoding"] == b"identity"
    assert headers[b"traceparent"] == b"00-a-b-01"
    assert b"transfer-encoding" not in headers


@pytest.mark.parametrize("name", sorted(CREDENTIAL_HEADERS))
def test_credentials_of_the_client_never_leave(name: bytes) -> None:
    request = Request("POST", "/", ((name, b"secret-of-the-client"),), b"")
    assert b"secret-of-the-client" not in copy_of(request, rewrite())


def test_own_credential_headers_and_model() -> None:
    request = Request("POST", "/", HEADERS, b'{"model":"m","keep":[1,2]}')
    out = copy_of(
        request,
        rewrite(
            model="m2",
            auth=(b"authorization", b"Bearer own"),
            set_headers=((b"x-tenant", b"shadow"), (b"x-new", b"1")),
            remove_headers=frozenset({b"traceparent"}),
        ),
    )
    _, headers, body = split(out)
    assert orjson.loads(body) == {"model": "m2", "keep": [1, 2]}
    assert headers[b"authorization"] == b"Bearer own"
    assert headers[b"x-tenant"] == b"shadow"
    assert out.count(b"x-tenant") == 1
    assert headers[b"x-new"] == b"1"
    assert b"traceparent" not in headers


@pytest.mark.parametrize(("body", "sent"), [({"store": True}, False), ({"store": False}, False), ({"store": None}, None)])
def test_nothing_is_stored_for_a_copy(body: object, sent: object) -> None:
    _, _, out = split(copy_of(Request("POST", "/", (), orjson.dumps(body)), rewrite()))
    assert orjson.loads(out)["store"] == sent


def test_responses_api_stores_by_default_so_it_is_told_not_to() -> None:
    _, _, out = split(copy_of(Request("POST", "/openai/v1/responses?x=1", (), b'{"model":"m","input":"hi"}'), rewrite()))
    assert orjson.loads(out) == {"model": "m", "input": "hi", "store": False}


def test_body_that_is_no_json_object_passes_as_it_is() -> None:
    for body in (b"\xff", b"[1]", b'"store"'):
        assert split(copy_of(Request("POST", "/", (), body), rewrite(model="m2")))[2] == body


def test_body_nested_deeper_than_the_encoder_goes_passes_as_it_is() -> None:
    body = b'{"model":"m","deep":' + b"[" * 300 + b"]" * 300 + b"}"
    assert split(copy_of(Request("POST", "/", (), body), rewrite(model="m2")))[2] == body


@pytest.mark.parametrize(
    "name", [b"x-auth-token", b"ocp-apim-subscription-key", b"x-goog-iap-jwt-assertion", b"x-litellm-api-key", b"cookie2"]
)
def test_credentials_by_other_names_stay_too(name: bytes) -> None:
    assert b"secret" not in copy_of(Request("POST", "/", ((name, b"secret"),), b""), rewrite())


PROMPTED = [
    ("/v1/chat/completions", {"messages": [{"role": "system", "content": "old"}, {"role": "user", "content": "hi"}]}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
]


@pytest.mark.parametrize(("path", "body"), PROMPTED)
def test_prompt_version_takes_the_place_of_the_system_prompt(path: str, body: dict[str, object]) -> None:
    _, _, sent = split(copy_of(Request("POST", path, HEADERS, orjson.dumps(body)), rewrite(system="new")))
    assert orjson.loads(sent)["messages"] == [{"role": "system", "content": "new"}, {"role": "user", "content": "hi"}]


@pytest.mark.parametrize(("path", "field"), [("/v1/messages", "system"), ("/openai/v1/responses", "instructions")])
def test_prompt_version_stands_where_the_protocol_has_it(path: str, field: str) -> None:
    _, _, sent = split(copy_of(Request("POST", path, HEADERS, b'{"input": "hi"}'), rewrite(system="new")))
    assert orjson.loads(sent)[field] == "new"


def test_parameters_are_put_over_the_request_s_and_null_takes_one_out() -> None:
    body = orjson.dumps({"model": "m", "temperature": 1, "seed": 4})
    _, _, sent = split(
        copy_of(Request("POST", "/v1/chat/completions", HEADERS, body), rewrite(parameters={"temperature": 0.2, "seed": None}))
    )
    assert orjson.loads(sent) == {"model": "m", "temperature": 0.2}


@pytest.mark.parametrize("broken", ["a\r\nevil: 1", "a\nb", "a\rb", "a\0b"])
@pytest.mark.parametrize("place", ["method", "target", "name", "value"])
def test_nothing_in_a_request_ends_its_line(place: str, broken: str) -> None:
    parts = {"method": "POST", "target": "/v1/chat/completions", "name": "x-tenant", "value": "t1", place: broken}
    request = Request(parts["method"], parts["target"], ((parts["name"].encode(), parts["value"].encode()),), b"{}")
    assert not is_http(request)
    with pytest.raises(ProtocolError, match="line break"):
        copy_of(request, rewrite())


def test_what_clients_send_is_http() -> None:
    assert is_http(Request("POST", "/v1/chat/completions?q=\xe9", (*HEADERS, (b"x-empty", b""), (b"x-odd", b"\ta \xff")), b""))
    for target in ("", "/a b", "/a\x7f", "/\u20ac"):
        assert not is_http(Request("POST", target, (), b"")), target
