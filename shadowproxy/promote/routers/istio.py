"""Istio VirtualService: weights of HTTP routes. PURE.

Weights are proportions, whatever their sum (istio/api ``networking/v1/virtual_service.proto``). Of everything else on the object, retries,
timeouts, mirrors, nothing is read that is not needed and nothing is written.
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

#: The weight is an int32.
_MOST = 2**31 - 1

#: Fields that answer or hand over a request instead of sending it to a destination.
_NO_ROUTE = ("redirect", "directResponse", "delegate")


@dataclass(frozen=True, slots=True)
class ServiceSubset:
    """A destination: host as a VirtualService names it, and subset where versions share a host."""

    host: str
    subset: str = ""

    def key(self, namespace: str) -> str:
        """The same text for the same destination: Istio completes names without a dot with the object's namespace."""
        host = self.host if "." in self.host else f"{self.host}.{namespace}.svc.cluster.local"
        return f"{host}/{self.subset}" if self.subset else host


@dataclass(frozen=True, slots=True)
class VirtualService:
    """A :class:`~shadowproxy.promote.routers.shape.Shape`. ``routes`` are names of HTTP routes; without them every route that has both
    destinations is steered."""

    namespace: str
    name: str
    primary: ServiceSubset
    candidate: ServiceSubset
    routes: tuple[str, ...] = ()
    version: str = "v1"
    is_annotated: bool = True

    @property
    def objects(self) -> tuple[ObjectRef, ...]:
        return (ObjectRef("networking.istio.io", self.version, "virtualservices", "VirtualService", self.namespace, self.name),)

    def shifts(self, documents: Documents) -> tuple[Split, ...]:
        routes = sections(section(documents[0], "spec"), "http")
        splits = tuple(self._split(index, route) for index, route in enumerate(routes) if self._is_meant(route))
        missing = set(self.routes) - {str(route.get("name")) for route in routes}
        if missing:
            raise RouterRefused(
                f"{self.objects[0]} has no HTTP route called {', '.join(sorted(missing))}", "correct routes, or name the route"
            )
        if not splits:
            problem = f"{self.objects[0]} has no HTTP route with both {self._primary} and {self._candidate}"
            raise RouterRefused(problem, f"add {self._candidate} to the route with weight: 0")
        return splits

    def identity(self, documents: Documents) -> str:
        return ""

    def problem(self, documents: Documents) -> str:
        return ""

    def steered_fields(self) -> tuple[str, ...]:
        return (".spec.http[].route[].weight",)

    @property
    def _primary(self) -> str:
        return self.primary.key(self.namespace)

    @property
    def _candidate(self) -> str:
        return self.candidate.key(self.namespace)

    def _is_meant(self, route: Mapping[str, Any]) -> bool:
        if self.routes:
            return route.get("name") in self.routes
        keys = [self._key(entry) for entry in sections(route, "route")]
        return self._primary in keys and self._candidate in keys

    def _split(self, index: int, route: Mapping[str, Any]) -> Split:
        where = f"{self.objects[0]} route {route.get('name') or index}"
        _refuse_odd(route, where)
        entries = sections(route, "route")
        destinations = tuple(self._destination(entry, f"/spec/http/{index}/route/{place}", where) for place, entry in enumerate(entries))
        keys = [destination.key for destination in destinations]
        return Split(where, destinations, position(keys, self._primary, where), position(keys, self._candidate, where), _MOST)

    def _destination(self, entry: Mapping[str, Any], pointer: str, where: str) -> Destination:
        written = whole(entry.get("weight"), f"{where}: a weight")
        return Destination(self._key(entry), f"{pointer}/weight", written, written or 0)

    def _key(self, entry: Mapping[str, Any]) -> str:
        destination = section(entry, "destination")
        return ServiceSubset(str(destination.get("host", "")), str(destination.get("subset") or "")).key(self.namespace)


def _refuse_odd(route: Mapping[str, Any], where: str) -> None:
    """What Istio itself refuses, or what makes weights mean nothing."""
    if odd := [key for key in _NO_ROUTE if route.get(key)]:
        raise RouterRefused(f"{where} has {odd[0]}, which takes no weights", "name a route that sends to destinations")
    if route.get("mirror") and route.get("mirrors"):
        raise RouterRefused(f"{where} has both mirror and mirrors, which Istio refuses", "move mirror into mirrors")
