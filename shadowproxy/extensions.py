"""Comparators that other packages bring, by entry point. ``app`` loads them; ``compare.custom`` says what they are, and asks them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

from shadowproxy.compare.custom import GROUP, NAME, Comparator
from shadowproxy.errors import StartError


def load_comparators(names: Sequence[str]) -> tuple[Comparator, ...]:
    """The comparators called ``names``, in that order.

    Raises :class:`~shadowproxy.errors.StartError` that names the one that is missing, ambiguous or broken, and the remedy. What is
    installed but not named is not imported.
    """
    installed = entry_points(group=GROUP)
    return tuple(_loaded(name, [point for point in installed if point.name == name], sorted(installed.names)) for name in names)


def _loaded(name: str, points: Sequence[EntryPoint], installed: Sequence[str]) -> Comparator:
    if not NAME.fullmatch(name):
        raise StartError(f"comparator {name!r} is no name; entry points are called by lower-case letters, digits and _, at most 40")
    if not points:
        known = f"installed are {', '.join(installed)}" if installed else "none is installed"
        raise StartError(f"comparator {name!r} is not installed ({known}); install the package with entry point {name!r} in {GROUP}")
    places = {point.value for point in points}
    if len(places) > 1:
        raise StartError(f"comparator {name!r} is brought by several packages ({', '.join(sorted(places))}); uninstall all but one")
    try:
        loaded = points[0].load()
        comparator = loaded() if isinstance(loaded, type) else loaded
    except Exception as exc:
        raise StartError(f"comparator {name!r} ({points[0].value}) cannot be loaded: {exc}; repair or uninstall its package") from exc
    if getattr(comparator, "name", None) != name or not callable(getattr(comparator, "compare", None)):
        raise StartError(f"comparator {name!r} ({points[0].value}) is none; it needs name = {name!r} and compare(primary, other, asked)")
    made: Comparator = comparator
    return made
