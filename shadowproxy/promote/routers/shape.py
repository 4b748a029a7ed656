"""What the kinds of Kubernetes objects have in common for whoever steers by them. PURE.

One file each implements it; ``objects`` reads and patches with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from shadowproxy.promote.json_patch import FieldChange, ObjectRef
from shadowproxy.promote.present import Share

Documents = Sequence[Mapping[str, Any]]


class Shift(Protocol):
    """One place within the objects where traffic is split."""

    def share(self) -> Share: ...
    def found(self) -> Any: ...

    def weigh(self, percent: int, total: int) -> tuple[FieldChange, ...]:
        """The changes that give the candidate ``percent`` of ``total``, what the pair has together."""

    def restore(self, found: object, total: int) -> tuple[FieldChange, ...]:
        """The changes that bring back what was ``found``, if the candidate had nothing then; else those that give it nothing."""


class Shape(Protocol):
    """What one kind of object says about traffic. PURE. ``objects`` are read and handed over in this order."""

    @property
    def objects(self) -> tuple[ObjectRef, ...]: ...

    @property
    def is_annotated(self) -> bool:
        """True where an annotation changes nothing but itself; then the first object carries the record."""

    def shifts(self, documents: Documents) -> tuple[Shift, ...]:
        """Every place that is steered. Raises :class:`~shadowproxy.errors.RouterRefused` for what is not understood."""

    def identity(self, documents: Documents) -> str:
        """Names what stands behind the candidate; "" where the objects do not say."""

    def problem(self, documents: Documents) -> str:
        """Why the candidate must not get more traffic now; "" where it may."""

    def steered_fields(self) -> tuple[str, ...]:
        """The fields that change, as jq path expressions, for Argo CD."""
