"""Steers by Kubernetes objects: reads them whole, patches single fields. What the fields mean is the business of a
:class:`~shadowproxy.promote.routers.shape.Shape`.

Between ``controller`` and ``kube``. Where the record of the rollout is an annotation, it goes into the same patch as the weights, so that
neither is ever there without the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from shadowproxy.promote.json_patch import FieldChange, ObjectPatch, annotate, disown, patch_of, version_of
from shadowproxy.promote.kube import Kube
from shadowproxy.promote.present import Present
from shadowproxy.promote.progress import ANNOTATION
from shadowproxy.promote.routers.port import Change, Note
from shadowproxy.promote.routers.shape import Documents, Shape, Shift


class ObjectRouter:
    """A :class:`~shadowproxy.promote.routers.port.Router` over the objects of a shape."""

    def __init__(self, kube: Kube, shape: Shape) -> None:
        self._kube = kube
        self._shape = shape

    def __str__(self) -> str:
        return " and ".join(str(ref) for ref in self._shape.objects)

    @property
    def carries_memory(self) -> bool:
        return self._shape.is_annotated

    async def read(self) -> Present:
        documents = await asyncio.gather(*(self._kube.read(ref) for ref in self._shape.objects))
        shifts = self._shape.shifts(documents)
        return Present(
            shares=tuple(shift.share() for shift in shifts),
            found=[shift.found() for shift in shifts],
            identity=self._shape.identity(documents),
            problem=self._shape.problem(documents),
            memory=(documents[0]["metadata"].get("annotations") or {}).get(ANNOTATION) if self.carries_memory else None,
            source=documents,
        )

    def weigh(self, present: Present, percent: int, note: Note) -> tuple[Change, ...]:
        shifts = self._shape.shifts(present.source)
        totals = _totals(shifts, note)
        changes = [change for shift, total in zip(shifts, totals, strict=True) for change in shift.weigh(percent, total)]
        return self._patches(present.source, changes, note)

    def restore(self, present: Present, note: Note) -> tuple[Change, ...]:
        shifts, found = self._shape.shifts(present.source), note.progress.found
        before = found if isinstance(found, list) and len(found) == len(shifts) else [None] * len(shifts)
        parts = zip(shifts, before, _totals(shifts, note), strict=True)
        changes = [change for shift, weights, total in parts for change in shift.restore(weights, total)]
        return self._patches(present.source, changes, note)

    def remember(self, present: Present, note: Note) -> tuple[Change, ...]:
        return self._patches(present.source, [], note)

    def disown(self, present: Present) -> tuple[Change, ...]:
        pairs = zip(self._shape.objects, present.source, strict=True)
        return tuple(patch_of(ref, version_of(document), operations) for ref, document in pairs if (operations := disown(document)))

    async def make(self, change: Change) -> None:
        assert isinstance(change, ObjectPatch)
        await self._kube.patch(change)

    async def close(self) -> None:
        await self._kube.close()

    def _patches(self, documents: Documents, changes: Sequence[FieldChange], note: Note) -> tuple[Change, ...]:
        """One patch an object, in the order in which the changes come."""
        order = dict.fromkeys(change.document for change in changes)
        if self.carries_memory:
            order.setdefault(0)
        return tuple(self._patch(documents, index, changes, note) for index in order)

    def _patch(self, documents: Documents, index: int, changes: Sequence[FieldChange], note: Note) -> ObjectPatch:
        document = documents[index]
        operations = [operation for change in changes if change.document == index for operation in change.operations()]
        if self.carries_memory and index == 0:
            operations += annotate(document, ANNOTATION, note.record)
        return patch_of(self._shape.objects[index], version_of(document), operations)


def _totals(shifts: Sequence[Shift], note: Note) -> tuple[int, ...]:
    """What each pair has together: as it was when the move was decided, if the places are still the same."""
    totals = note.progress.totals
    return totals if len(totals) == len(shifts) else tuple(shift.share().total for shift in shifts)
