"""What the client of Weights & Biases wrote for a run that is offline: records of its own protocol in a log of the LevelDB kind.

The client ships no reader in Python; its protocol it does, and the frame around a record is that of LevelDB's log format: blocks of 32 KiB,
in them a checksum, a length, a kind (whole, first, middle, last) and the bytes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_MAGIC = b":W&B"
_FILE_HEADER = 7
_BLOCK = 32 * 1024
_HEAD = struct.Struct("<IHB")
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def records(path: Path) -> Iterator[Any]:
    """Every record, as the protocol's own message."""
    from wandb.proto import wandb_internal_pb2 as protocol

    for raw in _frames(path.read_bytes()):
        record = protocol.Record()
        record.ParseFromString(raw)
        yield record


def _frames(data: bytes) -> Iterator[bytes]:
    assert data.startswith(_MAGIC)
    at, begun = _FILE_HEADER, b""
    while at + _HEAD.size <= len(data):
        room = _BLOCK - at % _BLOCK
        if room < _HEAD.size:
            at += room
            continue
        _, size, kind = _HEAD.unpack_from(data, at)
        piece = data[at + _HEAD.size : at + _HEAD.size + size]
        at += _HEAD.size + size
        begun = piece if kind in (_WHOLE, _FIRST) else begun + piece
        if kind in (_WHOLE, _LAST):
            yield begun


class Written:
    """A run as it would be sent."""

    def __init__(self, folder: Path) -> None:
        (path,) = folder.glob("run-*.wandb")
        self.raw = path.read_bytes()
        self.records = list(records(path))
        self.run = next(each.run for each in self.records if each.HasField("run"))
        self.artifacts = {each.artifact.name: each.artifact for each in self.records if each.HasField("artifact")}
        self.exit_code = next(each.exit.exit_code for each in self.records if each.HasField("exit"))

    @property
    def config(self) -> dict[str, Any]:
        return {each.key: json.loads(each.value_json) for each in self.run.config.update}

    @property
    def summary(self) -> dict[str, Any]:
        """The latest value of each key."""
        found: dict[str, Any] = {}
        for record in self.records:
            for item in record.summary.update:
                found[_name(item)] = json.loads(item.value_json)
        return found

    @property
    def history(self) -> dict[str, Any]:
        return {_name(item): json.loads(item.value_json) for record in self.records for item in record.history.item}

    def file(self, artifact: str, name: str) -> str:
        """What of an artifact waits to be sent."""
        (entry,) = (each for each in self.artifacts[artifact].manifest.contents if each.path == name)
        return Path(entry.local_path).read_text(encoding="utf-8")


def _name(item: Any) -> str:
    return item.key or ".".join(item.nested_key)
