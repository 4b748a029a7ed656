"""How answers are compared."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shadowproxy.config.values import Percent, Section


class Embed(Section):
    """Text to vectors."""

    backend: Literal["onnx", "sentence-transformers", "none"] = "onnx"
    """``onnx``: the small model that is installed with the package, offline. ``sentence-transformers``: any model, needs the extra.
    ``none``: no similarity, the gate is not evaluated."""
    model: str | None = None
    """``onnx``: a directory with model.onnx (or onnx/model.onnx) and tokenizer.json, which needs the extra ``onnx-models``;
    default: the packaged all-MiniLM-L6-v2 (weights and activations in eight bits).
    ``sentence-transformers``: a directory or name; default: all-MiniLM-L6-v2 by name, downloaded if absent."""
    batch: Annotated[int, Field(ge=1, le=64)] = 8
    """Windows per model call, at most; long windows go alone whatever it says, and the packaged model takes one a call. 8: larger batches
    gain little on a CPU and cost memory."""
    threads: Annotated[int, Field(ge=1)] = 1
    """Model threads. 1 keeps the other cores for the production path."""
    cache_entries: Annotated[int, Field(ge=0)] = 4096
    """Vectors kept by digest of their text (1.5 kB each)."""


class CompareRule(Section):
    """A part of answers that is noise: ignored, or normalised on both sides before anything is compared. Exactly one action each. Every
    difference that a rule takes out is counted under its name."""

    path: str
    """``$.a.b[*].c`` into JSON answers and tool arguments, ``**`` for any depth, or ``text`` for plain text."""
    name: str | None = None
    """What its suppressions are counted under. Default: made of path and action."""
    ignore: bool | None = None
    """``true``: left out on both sides."""
    round: int | None = None
    """Numbers are rounded to so many decimal places."""
    sort: bool | None = None
    """``true``: the order of an array does not count."""
    lower: bool | None = None
    """``true``: case does not count."""
    strip: bool | None = None
    """``true``: white space around a text does not count."""
    pattern: str | None = None
    """What this regular expression matches does not count; or one of ``timestamp``, ``uuid``, ``hex_id``, ``number``."""


class ModelPrice(Section):
    """What a model costs."""

    model: str
    """Its name, as replies name it, or the start of names and a ``*``."""
    prompt: Annotated[float, Field(ge=0)]
    """Per million prompt tokens."""
    completion: Annotated[float, Field(ge=0)]
    """Per million completion tokens."""


class Prices(Section):
    """From reported tokens to money."""

    currency: str = "USD"
    """Shown beside amounts. All prices are in it."""
    models: tuple[ModelPrice, ...] = ()
    """The longest name that fits a reply's model counts. A model without price has an unknown cost, never 0."""


class Compare(Section):
    """What is done with the answers of the arms."""

    percent: Percent = 100.0
    """Share of mirrored requests whose answers are read, compared and judged, chosen by a stable hash before anything is known of them.
    The rest is sent to the arms and only how it ended is counted: load for a candidate at a fraction of the cost."""
    rules: tuple[CompareRule, ...] = ()
    """Parts of answers that are noise, in the order in which they are applied."""
    prices: Prices = Prices()
    languages: bool = True
    """Tells the languages of answers apart. The detector takes about a second to load, and 75 MB."""
    comparators: tuple[str, ...] = ()
    """Names of installed extensions (entry points of ``shadowproxy.comparators``) that are asked about every pair."""
