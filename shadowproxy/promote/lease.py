"""One controller acts: leadership by a Lease of coordination.k8s.io, as client-go's leader election has it.

Asked by ``controller`` before every write. Clocks of other machines are not trusted: another's lease has expired when it did not change for
its whole duration *by our own clock*. Our own ends early, so that what was sent before has arrived, or failed, before anybody else may act.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from shadowproxy.errors import RouterBusy, RouterConflict
from shadowproxy.promote.json_patch import ObjectRef
from shadowproxy.promote.kube import Kube
from shadowproxy.promote.reading import section

_log = logging.getLogger(__name__)


class Leadership(Protocol):
    """Whether this process is the one that acts."""

    def is_held(self) -> bool:
        """True while nobody else may act. Never waits."""

    async def renew(self) -> None:
        """Take or keep the leadership. Never raises for a server that does not answer: what cannot be renewed runs out."""

    async def release(self) -> None:
        """Let the next one take over at once."""


class AlwaysLeading:
    """For a controller that is alone by construction: a file or a repository guards itself by its own conflicts."""

    def is_held(self) -> bool:
        return True

    async def renew(self) -> None:
        """Nothing."""

    async def release(self) -> None:
        """Nothing."""


class Lease:
    """A Lease object. ``identity`` must be unique to this process, ``duration_s`` is how long others wait for a leader that is silent.

    We stop acting when two thirds of it went by without renewal: a request that was sent just before, with a timeout below the remaining
    third, is over when the lease is.
    """

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        name: str,
        identity: str,
        *,
        duration_s: float,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._kube = kube
        self._ref = ObjectRef("coordination.k8s.io", "v1", "leases", "Lease", namespace, name)
        self._identity = identity
        self._duration_s = duration_s
        self._clock = clock
        self._wall_clock = wall_clock
        self._renewed_at: float | None = None
        self._seen: Mapping[str, Any] = {}
        self._seen_at = clock()

    def __repr__(self) -> str:
        return f"<Lease {self._ref} {'held' if self.is_held() else 'not held'} by {self._identity}>"

    @property
    def holder(self) -> str:
        """Who was seen to hold it last; "" for nobody."""
        return str(self._seen.get("holderIdentity") or "")

    def is_held(self) -> bool:
        return self._renewed_at is not None and self._clock() - self._renewed_at < self._duration_s * 2 / 3

    async def renew(self) -> None:
        asked_at = self._clock()
        try:
            await self._renew(asked_at)
        except (RouterBusy, RouterConflict) as exc:
            _log.warning("the lease %s was not renewed: %s", self._ref, exc)

    async def release(self) -> None:
        """Give it up where it is ours, so that the next leader need not wait for it to expire."""
        if not self.is_held():
            return
        self._renewed_at = None
        try:
            document = await self._kube.look_up(self._ref)
            if document is not None and section(document, "spec").get("holderIdentity") == self._identity:
                await self._kube.replace(self._ref, {**document, "spec": {**section(document, "spec"), "holderIdentity": ""}})
        except (RouterBusy, RouterConflict) as exc:
            _log.warning("the lease %s was not released and has to expire: %s", self._ref, exc)

    async def _renew(self, asked_at: float) -> None:
        document = await self._kube.look_up(self._ref)
        if document is None:
            metadata = {"name": self._ref.name, "namespace": self._ref.namespace}
            made = {"apiVersion": self._ref.api_version, "kind": "Lease", "metadata": metadata, "spec": self._spec({})}
            await self._kube.create(self._ref, made)
            self._renewed_at = asked_at
            return
        spec = section(document, "spec")
        if spec != self._seen:
            self._seen, self._seen_at = dict(spec), asked_at
        if not self._may_take(spec, asked_at):
            self._renewed_at = None
            return
        await self._kube.replace(self._ref, {**document, "spec": self._spec(spec)})
        # From when it was asked, not answered: others count from the moment it was written.
        self._renewed_at = asked_at

    def _may_take(self, spec: Mapping[str, Any], now: float) -> bool:
        holder = spec.get("holderIdentity")
        if not holder or holder == self._identity:
            return True
        duration_s = spec.get("leaseDurationSeconds")
        return now - self._seen_at >= (duration_s if isinstance(duration_s, int) else self._duration_s)

    def _spec(self, before: Mapping[str, Any]) -> dict[str, Any]:
        now = datetime.fromtimestamp(self._wall_clock(), UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        is_ours = before.get("holderIdentity") == self._identity
        return {
            **before,
            "holderIdentity": self._identity,
            "leaseDurationSeconds": round(self._duration_s),
            "acquireTime": before.get("acquireTime", now) if is_ours else now,
            "renewTime": now,
            "leaseTransitions": (before.get("leaseTransitions") or 0) + (0 if is_ours or not before else 1),
        }
