"""ONNX as bytes: the constants of a model file, and a graph of our own written as one.

The dozen fields of ``onnx.proto`` that ``minilm`` needs, by their numbers. The package ``onnx`` does the same and more for 36 MB
installed, in an image whose model has 23.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

#: Operators of onnxruntime itself, among them every product in int8 that also takes or gives floats.
MICROSOFT = "com.microsoft"
_OPSET = 17
_IR_VERSION = 8  # the newest that goes with that operator set

#: ``TensorProto.DataType``.
_KINDS: dict[np.dtype[Any], int] = {
    np.dtype(np.float32): 1,
    np.dtype(np.uint8): 2,
    np.dtype(np.int8): 3,
    np.dtype(np.int64): 7,
    np.dtype(np.bool_): 9,
}

Attribute: TypeAlias = int | float | Sequence[int]
Dimensions: TypeAlias = Sequence[int | str]


class Graph:
    """A graph that grows node by node. Values go by names that it makes up."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._names: list[str] = []
        self._constants: list[bytes | memoryview] = []  # uncopied until the file is written: they are nearly all of it

    def __repr__(self) -> str:
        return f"<Graph nodes={len(self._nodes)} constants={len(self._names)}>"

    def constant(self, value: NDArray[Any]) -> str:
        """A value that is part of the model."""
        name = f"constant_{len(self._names)}"
        self._names.append(name)
        raw = np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
        head = b"".join(_field(1, size) for size in value.shape) + _field(2, _KINDS[value.dtype]) + _field(8, name)
        head += _header(9, raw.nbytes)
        self._constants += [_header(5, len(head) + raw.nbytes) + head, raw]
        return name

    def apply(self, operator: str, *inputs: str, domain: str = "", **attributes: Attribute) -> str:
        """A node with one output. The empty name stands for an input that is left out."""
        return self.apply_for(1, operator, *inputs, domain=domain, **attributes)[0]

    def apply_for(self, outputs: int, operator: str, *inputs: str, domain: str = "", **attributes: Attribute) -> list[str]:
        """A node with several outputs."""
        names = [f"{operator}_{len(self._nodes)}_{index}" for index in range(outputs)]
        node = b"".join(_field(1, name) for name in inputs) + b"".join(_field(2, name) for name in names) + _field(4, operator)
        node += b"".join(_field(5, _attribute(name, value)) for name, value in attributes.items())
        self._nodes.append(node + _field(7, domain))
        return names

    def model(self, *, takes: tuple[str, Dimensions], gives: tuple[str, Dimensions]) -> bytes:
        """The file: int64 comes in under the name ``takes``, the float value ``gives`` goes out. A dimension by name is of any size."""
        graph = [*(_field(1, node) for node in self._nodes), _field(2, "graph"), *self._constants]
        graph += [_field(11, _value(*takes, np.dtype(np.int64))), _field(12, _value(*gives, np.dtype(np.float32)))]
        versions = _field(8, _field(2, _OPSET)) + _field(8, _field(1, MICROSOFT) + _field(2, 1))
        return b"".join([_field(1, _IR_VERSION), versions, _header(7, sum(map(len, graph))), *graph])


def constants(model: bytes) -> dict[str, NDArray[Any]]:
    """The constants of a model by name, as read-only views of ``model``.

    Raises :class:`ValueError` where it is no model, or keeps a constant in another form than raw bytes.
    """
    found: dict[str, NDArray[Any]] = {}
    for number, graph in _fields(memoryview(model)):
        if number == 7:
            found.update(_constant(tensor) for number, tensor in _fields(_content(graph)) if number == 5)
    if not found:
        raise ValueError("no constant in it")
    return found


def _constant(tensor: int | memoryview) -> tuple[str, NDArray[Any]]:
    shape: list[int] = []
    single: dict[int, int | memoryview] = {}
    for number, value in _fields(_content(tensor)):
        if number == 1 and isinstance(value, int):
            shape.append(value)
        else:
            single[number] = value
    name = bytes(_content(single.get(8, 0))).decode()
    dtypes = [dtype for dtype, kind in _KINDS.items() if kind == single.get(2)]
    if not dtypes or 9 not in single:
        raise ValueError(f"the constant {name} is of kind {single.get(2)} or not kept as raw bytes")
    return name, np.frombuffer(_content(single[9]), dtypes[0]).reshape(shape)


# --- protocol buffers ---------------------------------------------------------------------------------------------------


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _header(number, len(content)) + content


def _header(number: int, size: int) -> bytes:
    """What stands before content of so many bytes."""
    return _varint(number << 3 | 2) + _varint(size)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative ones are written as unsigned numbers of 64 bits
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, float):
        return _field(1, name) + _varint(2 << 3 | 5) + struct.pack("<f", value) + _field(20, 1)
    if isinstance(value, int):
        return _field(1, name) + _field(3, value) + _field(20, 2)
    return _field(1, name) + b"".join(_field(8, each) for each in value) + _field(20, 7)


def _value(name: str, dimensions: Dimensions, dtype: np.dtype[Any]) -> bytes:
    shape = b"".join(_field(1, _field(1 if isinstance(size, int) else 2, size)) for size in dimensions)
    return _field(1, name) + _field(2, _field(1, _field(1, _KINDS[dtype]) + _field(2, shape)))


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field, in order."""
    place = 0
    while place < len(message):
        key, place = _number(message, place)
        value, place = _number(message, place) if key & 7 == 0 else _piece(message, place, key & 7)
        yield key >> 3, value


def _piece(message: memoryview, place: int, wire_type: int) -> tuple[memoryview, int]:
    sizes = {1: 8, 5: 4}
    size, place = _number(message, place) if wire_type == 2 else (sizes.get(wire_type, len(message)), place)
    if size > len(message) - place:
        raise ValueError(f"a field of wire type {wire_type} ends behind the end of its message")
    return message[place : place + size], place + size


def _number(message: memoryview, place: int) -> tuple[int, int]:
    number = 0
    for index, byte in enumerate(message[place : place + 10]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number, place + index + 1
    raise ValueError("a number without end")


def _content(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number stands where content should be")
    return value
