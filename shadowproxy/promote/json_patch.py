"""JSON Patch (RFC 6902) that changes numbers and nothing else, and tests what it changes. PURE.

Made by the routers for Kubernetes objects. Every patch begins with a test of ``resourceVersion``: whoever changed the object meanwhile
wins, and what is decided next is decided on what they left.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

#: Name under which Kubernetes notes who wrote a field, and under which our ownership is given up again.
FIELD_MANAGER = "shadowproxy"

Operation = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One Kubernetes object. ``plural`` with ``group`` and ``version`` is its place in the API, ``kind`` its name for people."""

    group: str
    version: str
    plural: str
    kind: str
    namespace: str
    name: str

    @property
    def path(self) -> str:
        """The path of the object's collection in the API."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{root}/namespaces/{self.namespace}/{self.plural}"

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One number that changes: in which of the objects (from 0), where (JSON Pointer), from what to what. None: the field is not there."""

    document: int
    pointer: str
    old: int | None
    new: int | None

    def operations(self) -> tuple[Operation, ...]:
        """The test of the old value and the change; nothing where nothing changes. That an absent field is absent cannot be tested in
        JSON Patch; the version is."""
        if self.old == self.new:
            return ()
        if self.old is None:
            return ({"op": "add", "path": self.pointer, "value": self.new},)
        test = {"op": "test", "path": self.pointer, "value": self.old}
        if self.new is None:
            return (test, {"op": "remove", "path": self.pointer})
        return (test, {"op": "replace", "path": self.pointer, "value": self.new})


@dataclass(frozen=True, slots=True)
class ObjectPatch:
    """A patch of one object. Its text is a command that a person can run as it stands."""

    ref: ObjectRef
    operations: tuple[Operation, ...]

    @property
    def tested_version(self) -> str:
        """The ``resourceVersion`` that the patch was made for."""
        return str(self.operations[0]["value"])

    def __str__(self) -> str:
        resource = f"{self.ref.plural}.{self.ref.version}.{self.ref.group}" if self.ref.group else self.ref.plural
        body = msgspec.json.encode(self.operations).decode()
        words = ("kubectl", "patch", resource, self.ref.name, "--namespace", self.ref.namespace)
        return shlex.join((*words, "--type", "json", "--field-manager", FIELD_MANAGER, "--patch", body))


def patch_of(ref: ObjectRef, version: str, operations: Sequence[Operation]) -> ObjectPatch:
    """The patch of an object that was read as this ``resourceVersion``."""
    return ObjectPatch(ref, ({"op": "test", "path": "/metadata/resourceVersion", "value": version}, *operations))


def version_of(document: Mapping[str, Any]) -> str:
    return str(document["metadata"]["resourceVersion"])


def annotate(document: Mapping[str, Any], key: str, text: str) -> tuple[Operation, ...]:
    """Set an annotation, whether there are any or not. Tests the old value where there is one."""
    annotations = document["metadata"].get("annotations")
    if annotations is None:
        return ({"op": "add", "path": "/metadata/annotations", "value": {key: text}},)
    pointer = f"/metadata/annotations/{escaped(key)}"
    if key not in annotations:
        return ({"op": "add", "path": pointer, "value": text},)
    test = {"op": "test", "path": pointer, "value": annotations[key]}
    return (test, {"op": "replace", "path": pointer, "value": text})


def escaped(key: str) -> str:
    """A key as a part of a JSON Pointer (RFC 6901, section 3)."""
    return key.replace("~", "~0").replace("/", "~1")


def disown(document: Mapping[str, Any]) -> tuple[Operation, ...]:
    """Take our entry out of ``managedFields``, so that whoever applies the object next owns the fields alone; nothing where we have none.

    The entry is replaced as part of the whole list, as client-go's ``csaupgrade`` does: the API server takes the list that a patch leaves.
    """
    entries = document["metadata"].get("managedFields") or []
    others = [entry for entry in entries if entry.get("manager") != FIELD_MANAGER]
    if len(others) == len(entries):
        return ()
    # An empty list would mean "unchanged" to the API server; a list of one empty entry empties it.
    return ({"op": "replace", "path": "/metadata/managedFields", "value": others or [{}]},)
