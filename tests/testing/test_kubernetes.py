"""The API server that stands in for Kubernetes, where its behaviour is what tests rely on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.testing.crds import closed
from shadowproxy.testing.json_patch import PatchFails, patched
from shadowproxy.testing.kubernetes import FakeKubernetes, Fault

PATH = "/apis/example.com/v1/namespaces/n/things"
PATCH = {"content-type": "application/json-patch+json"}


@pytest.fixture
async def api() -> AsyncIterator[FakeKubernetes]:
    async with FakeKubernetes(lambda *about: ["spec.size: too big"] if about[3]["spec"]["size"] > 9 else []) as made:
        made.put("example.com", "v1", "things", {"kind": "Thing", "metadata": {"name": "a", "namespace": "n"}, "spec": {"size": 1}})
        yield made


async def ask(api: FakeKubernetes, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.request(method, api.url + path, json=body, headers=headers or None) as reply:
        return reply.status, await reply.json(content_type=None)


async def patch(api: FakeKubernetes, *operations: dict[str, Any], manager: str = "") -> tuple[int, Any]:
    return await ask(api, "PATCH", f"{PATH}/a?fieldManager={manager}", list(operations), **PATCH)


async def test_every_change_has_its_version_and_its_manager(api: FakeKubernetes) -> None:
    _, before = await ask(api, "GET", f"{PATH}/a")
    status, after = await patch(api, {"op": "replace", "path": "/spec/size", "value": 2}, manager="me")
    assert status == 200
    assert int(after["metadata"]["resourceVersion"]) > int(before["metadata"]["resourceVersion"])
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1
    assert [entry["manager"] for entry in after["metadata"]["managedFields"]] == ["kubectl", "me"]


async def test_patch_that_changes_nothing_makes_no_version(api: FakeKubernetes) -> None:
    _, before = await ask(api, "GET", f"{PATH}/a")
    assert await patch(api, {"op": "replace", "path": "/spec/size", "value": 1}, manager="me") == (200, before)


async def test_test_that_fails_changes_nothing(api: FakeKubernetes) -> None:
    status, told = await patch(
        api, {"op": "replace", "path": "/spec/size", "value": 2}, {"op": "test", "path": "/metadata/resourceVersion", "value": "0"}
    )
    assert (status, told["reason"]) == (422, "Invalid")
    assert api.get("example.com", "things", "n", "a")["spec"] == {"size": 1}


async def test_object_that_does_not_fit_is_refused(api: FakeKubernetes) -> None:
    status, told = await patch(api, {"op": "replace", "path": "/spec/size", "value": 10})
    assert status == 422
    assert "too big" in told["message"]
    with pytest.raises(ValueError, match="too big"):
        api.put("example.com", "v1", "things", {"metadata": {"name": "b", "namespace": "n"}, "spec": {"size": 10}})


async def test_stale_replacement_and_second_creation_are_conflicts(api: FakeKubernetes) -> None:
    _, document = await ask(api, "GET", f"{PATH}/a")
    stale = {**document, "metadata": {**document["metadata"], "resourceVersion": "0"}}
    assert (await ask(api, "PUT", f"{PATH}/a", stale))[0] == 409
    assert (await ask(api, "POST", PATH, document))[0] == 409
    assert (await ask(api, "PUT", f"{PATH}/a", document))[0] == 200
    assert (await ask(api, "GET", f"{PATH}/b"))[0] == 404
    assert (await ask(api, "DELETE", f"{PATH}/a"))[0] == 405


async def test_managers_leave_when_the_list_says_so(api: FakeKubernetes) -> None:
    await patch(api, {"op": "replace", "path": "/spec/size", "value": 2}, manager="me")
    kubectl = {"manager": "kubectl"}
    _, after = await patch(api, {"op": "replace", "path": "/metadata/managedFields", "value": [kubectl]}, manager="me")
    assert after["metadata"]["managedFields"] == [kubectl]


@pytest.mark.parametrize("after", [False, True])
async def test_fault_comes_instead_of_or_after_the_deed(api: FakeKubernetes, after: bool) -> None:
    api.fault = lambda method, _: Fault(503, b"{}", after=after) if method == "PATCH" else None
    status, _ = await patch(api, {"op": "replace", "path": "/spec/size", "value": 2})
    assert status == 503
    assert api.get("example.com", "things", "n", "a")["spec"]["size"] == (2 if after else 1)


@pytest.mark.parametrize(
    ("before", "operation", "after"),
    [
        ({"a": 1}, {"op": "add", "path": "/b", "value": 2}, {"a": 1, "b": 2}),
        ({"a": [1]}, {"op": "add", "path": "/a/-", "value": 2}, {"a": [1, 2]}),
        ({"a": [1]}, {"op": "add", "path": "/a/0", "value": 0}, {"a": [0, 1]}),
        ({"a/b": 1, "c~d": 2}, {"op": "remove", "path": "/a~1b"}, {"c~d": 2}),
        ({"c~d": 2}, {"op": "replace", "path": "/c~0d", "value": 3}, {"c~d": 3}),
        ({"a": [1, 2]}, {"op": "remove", "path": "/a/0"}, {"a": [2]}),
        ({"a": 1}, {"op": "replace", "path": "", "value": []}, []),
    ],
)
def test_operations_do_what_rfc_6902_says(before: Any, operation: dict[str, Any], after: Any) -> None:
    assert patched(before, [operation]) == after


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/b"},
        {"op": "replace", "path": "/b", "value": 1},
        {"op": "add", "path": "/b/c", "value": 1},
        {"op": "add", "path": "/a/3", "value": 1},
        {"op": "replace", "path": "/a/1", "value": 1},
        {"op": "replace", "path": "/a/x", "value": 1},
        {"op": "test", "path": "/a/0", "value": 2},
        {"op": "copy", "path": "/a", "from": "/b"},
    ],
)
def test_operation_that_does_not_apply_fails(operation: dict[str, Any]) -> None:
    with pytest.raises(PatchFails):
        patched({"a": [1]}, [operation])


@given(st.recursive(st.integers() | st.text(), lambda part: st.lists(part) | st.dictionaries(st.text(), part)))
def test_what_is_patched_is_a_copy(document: Any) -> None:
    whole = {"a": document}
    assert patched(whole, [{"op": "add", "path": "/b", "value": 1}]) == {"a": document, "b": 1}
    assert whole == {"a": document}


def test_structural_schema_is_closed_unless_it_preserves() -> None:
    made = closed(
        {"type": "object", "properties": {"a": {"type": "object", "properties": {}, "x-kubernetes-preserve-unknown-fields": True}}}
    )
    assert made["additionalProperties"] is False
    assert "additionalProperties" not in made["properties"]["a"]
    assert closed({"x-kubernetes-int-or-string": True, "type": "integer"}) == {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    assert closed({"type": "integer", "nullable": True, "format": "int64"}) == {"type": ["integer", "null"]}
