"""Knative Service: percentages of revisions. PURE.

They add up to 100, and an absent one is 0 (knative/serving ``pkg/apis/serving/v1/route_types.go``). Other revisions keep what they have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shadowproxy.errors import RouterRefused
from shadowproxy.promote.json_patch import ObjectRef
from shadowproxy.promote.reading import section, sections, whole
from shadowproxy.promote.routers.shape import Documents
from shadowproxy.promote.weights import Destination, Split, position


@dataclass(frozen=True, slots=True)
class Target:
    """An entry of ``spec.traffic``: by its tag, else by its revision, else the one with ``latestRevision: true``."""

    tag: str = ""
    revision: str = ""

    def __str__(self) -> str:
        if self.tag:
            return f"the entry with tag {self.tag}"
        return f"the entry of revision {self.revision}" if self.revision else "the entry of the latest revision"

    def matches(self, entry: Mapping[str, Any]) -> bool:
        if self.tag:
            return entry.get("tag") == self.tag
        if self.revision:
            return entry.get("revisionName") == self.revision
        return entry.get("latestRevision") is True


@dataclass(frozen=True, slots=True)
class KnativeService:
    """A :class:`~shadowproxy.promote.routers.shape.Shape`."""

    namespace: str
    name: str
    primary: Target
    candidate: Target
    #: Annotations of a Service go to its Route and Configuration, not into the template, and make no revision.
    is_annotated: bool = True

    @property
    def objects(self) -> tuple[ObjectRef, ...]:
        return (ObjectRef("serving.knative.dev", "v1", "services", "Service", self.namespace, self.name),)

    def shifts(self, documents: Documents) -> tuple[Split, ...]:
        where = f"Knative {self.objects[0]}"
        entries = sections(section(documents[0], "spec"), "traffic")
        destinations = tuple(_destination(entry, place, where) for place, entry in enumerate(entries))
        if destinations and (total := sum(each.weight for each in destinations)) != 100:
            raise RouterRefused(f"{where}: its percentages add up to {total}", "make them add up to 100, as Knative asks")
        return (Split(where, destinations, _position(entries, self.primary, where), _position(entries, self.candidate, where), most=0),)

    def identity(self, documents: Documents) -> str:
        entry = self._entry(documents)
        return str(_latest(documents, "latestCreatedRevisionName") if entry.get("latestRevision") else entry.get("revisionName") or "")

    def problem(self, documents: Documents) -> str:
        ready, created = _latest(documents, "latestReadyRevisionName"), _latest(documents, "latestCreatedRevisionName")
        if self._entry(documents).get("latestRevision") and ready != created:
            return f"revision {created} to be ready"
        return ""

    def steered_fields(self) -> tuple[str, ...]:
        return (".spec.traffic[].percent",)

    def _entry(self, documents: Documents) -> Mapping[str, Any]:
        entries = sections(section(documents[0], "spec"), "traffic")
        return next((entry for entry in entries if self.candidate.matches(entry)), {})


def _latest(documents: Documents, key: str) -> str:
    return str(section(documents[0], "status").get(key) or "")


def _destination(entry: Mapping[str, Any], place: int, where: str) -> Destination:
    written = whole(entry.get("percent"), f"{where}: a percentage")
    key = str(entry.get("tag") or entry.get("revisionName") or entry.get("configurationName") or "latest")
    return Destination(key, f"/spec/traffic/{place}/percent", written, written or 0)


def _position(entries: Any, target: Target, where: str) -> int:
    names = [str(target) if target.matches(entry) else "" for entry in entries]
    return position(names, str(target), where)
