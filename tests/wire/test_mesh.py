from __future__ import annotations

import pytest

from shadowproxy.wire.mesh import deadline_s, is_mirrored_host, traced_as_copy

SPAN = b"b7ad6b7169203331"
TRACE = b"0af7651916cd43dd8448eb211c80319c"


def traced(*headers: tuple[bytes, bytes]) -> dict[bytes, bytes]:
    return dict(traced_as_copy(headers, "v2", SPAN))


def test_copy_has_a_span_of_its_own_in_the_same_trace() -> None:
    assert traced((b"traceparent", b"00-%b-00f067aa0ba902b7-01" % TRACE)) == {
        b"traceparent": b"00-%b-%b-01" % (TRACE, SPAN),
        b"tracestate": b"shadowproxy=v2",
    }


def test_mark_stands_before_other_vendors_and_only_once() -> None:
    found = traced((b"traceparent", b"00-%b-00f067aa0ba902b7-00" % TRACE), (b"tracestate", b"rojo=1, shadowproxy=old,congo=2"))
    assert found[b"tracestate"] == b"shadowproxy=v2,rojo=1,congo=2"
    assert found[b"traceparent"].endswith(b"-00"), "an unsampled trace stays unsampled"


def test_overlong_tracestate_is_dropped_whole() -> None:
    found = traced((b"traceparent", b"00-%b-00f067aa0ba902b7-01" % TRACE), (b"tracestate", b"a=" + b"x" * 600))
    assert found[b"tracestate"] == b"shadowproxy=v2"


@pytest.mark.parametrize(
    ("sent", "copied"),
    [
        (b"%b-00f067aa0ba902b7-1-05e3ac9a4f6e3b90" % TRACE, b"%b-%b-1-00f067aa0ba902b7" % (TRACE, SPAN)),
        (b"%b-00f067aa0ba902b7" % TRACE, b"%b-%b-1-00f067aa0ba902b7" % (TRACE, SPAN)),
        (b"0", b"0"),
    ],
)
def test_b3_single_header(sent: bytes, copied: bytes) -> None:
    assert traced((b"b3", sent)) == {b"b3": copied}


def test_b3_headers_one_by_one() -> None:
    found = traced((b"x-b3-traceid", TRACE), (b"x-b3-spanid", b"00f067aa0ba902b7"), (b"x-b3-parentspanid", b"05e3ac9a4f6e3b90"))
    assert found == {b"x-b3-traceid": TRACE, b"x-b3-spanid": SPAN, b"x-b3-parentspanid": b"00f067aa0ba902b7"}


def test_untraced_or_broken_headers_stay_as_they_are() -> None:
    assert traced((b"x", b"y")) == {b"x": b"y"}
    assert traced((b"b3", b"nonsense")) == {b"b3": b"nonsense"}


@pytest.mark.parametrize("host", [b"llm-shadow", b"llm-shadow:8080", b"llm:8080-shadow", b"a.b.svc.cluster.local-shadow"])
def test_hosts_that_another_mirror_marked(host: bytes) -> None:
    assert is_mirrored_host(host)


@pytest.mark.parametrize("host", [b"llm", b"llm:8080", b"shadow", b"llm-shadow.example", b"[::1]:8080", b"[::1]", b""])
def test_ordinary_hosts(host: bytes) -> None:
    assert not is_mirrored_host(host)


@pytest.mark.parametrize(("value", "seconds"), [(b"15000", 15.0), (b" 250 ", 0.25), (b"0", None), (b"-1", None), (b"soon", None)])
def test_deadline(value: bytes, seconds: float | None) -> None:
    assert deadline_s(((b"x-envoy-expected-rq-timeout-ms", value),)) == seconds


def test_no_deadline() -> None:
    assert deadline_s(()) is None
