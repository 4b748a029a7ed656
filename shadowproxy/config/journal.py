"""What is kept of the traffic, where, and what is taken out before."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from shadowproxy.config.values import Seconds, Secret, Section

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
URL = re.compile(r"[a-z][a-z0-9+.-]*://.+")


class Presidio(Section):
    """Names, places and other things without a form of their own, found by Microsoft's Presidio (extra: presidio). Slow: tens of
    milliseconds an answer; what the journal's thread does not keep up with is dropped and counted."""

    language: str = "en"
    """Language of the texts."""
    model: str = "en_core_web_sm"
    """spaCy model, installed beside."""
    entities: tuple[str, ...] = ("PERSON", "LOCATION", "NRP")
    """What is looked for, by Presidio's names. What has a form (addresses, numbers, keys) is found without it."""
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.5
    """How sure Presidio has to be."""


class Redact(Section):
    """What is taken out of a record before it is written."""

    bodies: bool = True
    """Replace what the detectors find (email, phone, card, IBAN, IP address, keys, tokens, JWT, passwords) in bodies, targets and failures.
    Off: everything is written as it was, and the journal is as secret as the traffic."""
    headers: tuple[str, ...] = ()
    """Names of headers to keep besides those that say how to read a body; the detectors look at their values. Credentials have gone
    before, whatever stands here."""
    fields: tuple[str, ...] = ()
    """Paths in JSON bodies whose values are replaced whatever they are: ``$.user``, ``$.metadata``, ``**.customer_id``."""
    key: Secret | None = None
    """The key of the pseudonyms, 16 bytes or more. Default: a random one for each start, so that equal values are equal within one run of
    one process. With a key they are equal everywhere it is used, and whoever has it can try values."""
    presidio: Presidio | None = None
    """Also find names and places. Default: only what has a form of its own."""

    @field_validator("headers")
    @classmethod
    def _lower(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not HEADER_NAME.fullmatch(name.lower()):
                raise ValueError(f"has a name that is no header ({name!r}); write names such as x-tenant")
        return tuple(name.lower() for name in value)

    @field_validator("fields")
    @classmethod
    def _paths(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for path in value:
            if not path.startswith(("$", "**")):
                raise ValueError(f"has {path!r}, which is no path; begin with $, as in $.user, or with ** for any depth")
        return value

    @model_validator(mode="after")
    def _something_to_redact(self) -> Redact:
        if not self.bodies and (self.fields or self.presidio is not None):
            raise ValueError("has fields or presidio while bodies are kept as they are; set bodies: true, or leave them out")
        return self


class Journal(Section):
    """Requests and all arms' answers in files, for replay and for people. Off without this section."""

    to: str
    """A folder, or a URL that fsspec knows (``s3://bucket/prefix``, ``gs://…``; extra: fsspec, and the store's own package). Object stores
    cannot append: there each finished segment is uploaded, and what is being written lies in ``spool``."""
    spool: Path | None = None
    """Folder for segments on their way to a URL. What is left there by a crash is uploaded at the next start, so give it a disk that
    stays. Default: a folder for this URL within the system's for temporary files."""
    flush_records: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Records in one frame. A crash of the process loses the frame that is being filled."""
    flush_s: Seconds = 1.0
    """How long a record may wait for its frame to be written."""
    fsync: Literal["never", "segment", "frame"] = "segment"
    """When the disk is made to keep what was written: ``never``, each finished ``segment``, or each ``frame``. A killed process loses
    nothing that was written either way; a power cut loses what the kernel has not put on the disk yet, half a minute as a rule."""
    segment_bytes: Annotated[int, Field(ge=65536)] = 64 * 1024 * 1024
    """A segment that has grown to so many bytes is finished and a new one begun."""
    segment_s: Seconds = 3600.0
    """So is one that is so old. For a URL choose minutes: what is not finished is not uploaded."""
    max_bytes: Annotated[int, Field(ge=1024 * 1024)] = 10 * 1024 * 1024 * 1024
    """Bytes of segments kept, here and at a URL each. Past it the oldest go, and are counted."""
    level: Annotated[int, Field(ge=1, le=19)] = 3
    """Compression level of zstd. More than 6 costs more than the rest of the writing together."""
    queue_records: Annotated[int, Field(ge=1)] = 10_000
    """Records that wait for the journal's thread; one more is dropped and counted."""
    queue_bytes: Annotated[int, Field(ge=65536)] = 64 * 1024 * 1024
    """Bytes of bodies that wait; the same."""
    max_record_bytes: Annotated[int, Field(ge=1024)] = 8 * 1024 * 1024
    """A request whose bodies are longer together is dropped and counted: half a body can neither be redacted nor replayed."""
    recipients: tuple[str, ...] = ()
    """Public keys of age (``age1…``); with them frames are encrypted (extra: age), and only who holds a matching identity can read them.
    Default: not encrypted."""
    redact: Redact = Redact()

    @field_validator("to")
    @classmethod
    def _a_place(cls, value: str) -> str:
        if not value or ("://" in value and not URL.fullmatch(value)):
            raise ValueError("is no place; write a folder, or a URL such as s3://bucket/prefix")
        return value

    @field_validator("recipients")
    @classmethod
    def _public(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if each.upper().startswith("AGE-SECRET-KEY-"):
                raise ValueError("holds a secret key; write the public one (age1…), and keep the secret one where journals are read")
            if not each.startswith("age1"):
                raise ValueError("holds something else than public keys of age; write age1…")
        return value

    @model_validator(mode="after")
    def _room(self) -> Journal:
        if self.max_bytes < 2 * self.segment_bytes:
            raise ValueError("has room for less than two segments; raise max_bytes or lower segment_bytes")
        return self
