"""What the offline commands go by: the configuration, as far as it is about comparing and judging, and the embedder."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from shadowproxy import comparing, config
from shadowproxy.config import Config, Embed
from shadowproxy.embed.loading import load as load_embedder
from shadowproxy.errors import ConfigError, ConfigProblem
from shadowproxy.offline.comparing import Bench


def settings(path: Path | None, embedder: str | None) -> Config:
    """The configuration in ``path``, or the defaults. ``embedder`` (``BACKEND`` or ``BACKEND:MODEL``) replaces what it says of embedding.

    Raises :class:`ConfigError`.
    """
    read = config.load_offline(path) if path is not None else config.offline()
    return read if embedder is None else read.model_copy(update={"embed": _embed(read.embed, embedder)})


def _embed(section: Embed, written: str) -> Embed:
    backend, _, model = written.partition(":")
    known = get_args(Embed.model_fields["backend"].annotation)
    if backend not in known:
        raise ConfigError((ConfigProblem("--embedder", written, "is not a backend", f"write {', '.join(known)}"),))
    return Embed(**{**section.model_dump(), "backend": backend, "model": model or None})


def bench(read: Config) -> Bench:
    """The comparator and its embedder, loaded. Raises :class:`ConfigError` and :class:`~shadowproxy.errors.StartError`."""
    return Bench(comparing.load_means(read.compare, tells_language=read.slices.language), load_embedder(read.embed))
