"""The list of formats, and which of them a file is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from shadowproxy.errors import InputError
from shadowproxy.journal.importers import envoy_tap, goreplay, har, kserve_events, langfuse, litellm, openai_batch, prompts
from shadowproxy.journal.importers.documents import Document, documents
from shadowproxy.journal.importers.made import Item
from shadowproxy.journal.places import name_of


class Format(NamedTuple):
    """How a capture is read, and how its kind is known by its first value."""

    read: Callable[[Sequence[str]], Iterator[Item]]
    fits: Callable[[Mapping[str, Any]], bool]


#: By name. The order is that in which a file is tried: what asks for less comes later.
FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        har.NAME: Format(har.read, har.fits),
        goreplay.NAME: Format(goreplay.read, lambda _: False),  # no JSON: known by the file's name
        openai_batch.NAME: Format(openai_batch.read, openai_batch.fits),
        envoy_tap.NAME: Format(envoy_tap.read, envoy_tap.fits),
        kserve_events.NAME: Format(kserve_events.read, kserve_events.fits),
        litellm.NAME: Format(litellm.read, litellm.fits),
        langfuse.NAME: Format(langfuse.read, langfuse.fits),
        prompts.NAME: Format(prompts.read, prompts.fits),
    }
)

_BY_ENDING = {".gor": goreplay.NAME, ".har": har.NAME}


def read(files: Sequence[str], format_: str = "") -> Iterator[Item]:
    """Everything in these files, which are of one format; without its name it is found out. Raises :class:`InputError`."""
    name = format_ or format_of(files[0])
    if name not in FORMATS:
        raise InputError(f"{name!r} is no format of captures; choose one of {', '.join(FORMATS)}")
    return FORMATS[name].read(files)


def format_of(file: str) -> str:
    """The format's name. Raises :class:`InputError` where none fits."""
    plain = name_of(file).removesuffix(".gz").removesuffix(".zst").lower()
    for ending, name in _BY_ENDING.items():
        if plain.endswith(ending):
            return name
    first = next((document for document in documents([file]) if isinstance(document, Document)), None)
    found = next((name for name, each in FORMATS.items() if first is not None and each.fits(first.fields)), None)
    if found is None:
        raise InputError(f"{file}: is of no format that is known by itself; say which with --format ({', '.join(FORMATS)})")
    return found
