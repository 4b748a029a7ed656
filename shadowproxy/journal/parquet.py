"""Journals as Parquet (the extra ``parquet``: pyarrow), for DuckDB, Spark and notebooks. One row an exchange."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from shadowproxy.errors import StartError
from shadowproxy.journal.places import open_binary
from shadowproxy.journal.records import ArmRecord, Body, Record

_REMEDY = "pip install 'llm-shadowproxy[parquet]'"

#: Rows made into columns at a time: a few megabytes of typical answers.
_BATCH_ROWS = 2000


def export(records: Iterable[Record], place: str) -> int:
    """Write all exchanges to a path or URL; how many. Raises :class:`StartError` where pyarrow is missing."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as exc:
        raise StartError(f"--parquet: pyarrow is not installed; {_REMEDY}") from exc
    schema = _schema(pa)
    rows = (row for record in records for row in _rows(record))
    written = 0
    with open_binary(place, "wb") as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while batch := list(islice(rows, _BATCH_ROWS)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
            written += len(batch)
    return written


def _schema(pa: Any) -> Any:
    headers = pa.map_(pa.string(), pa.string())
    return pa.schema(
        [
            ("id", pa.string()),
            ("issued_at", pa.timestamp("us", tz="UTC")),
            ("route", pa.dictionary(pa.int32(), pa.string())),
            ("session", pa.string()),
            ("arm", pa.dictionary(pa.int32(), pa.string())),
            ("rollout", pa.dictionary(pa.int32(), pa.string())),
            ("method", pa.dictionary(pa.int32(), pa.string())),
            ("target", pa.string()),
            ("request_headers", headers),
            ("request_body", pa.string()),
            ("request_bytes", pa.binary()),
            ("outcome", pa.dictionary(pa.int32(), pa.string())),
            ("failure", pa.string()),
            ("status", pa.int16()),
            ("reply_headers", headers),
            ("reply_body", pa.string()),
            ("reply_bytes", pa.binary()),
            ("first_byte_s", pa.float64()),
            ("duration_s", pa.float64()),
            ("read_after_us", pa.list_(pa.int64())),
            ("read_sizes", pa.list_(pa.int32())),
            ("late_us", pa.int64()),
        ]
    )


def _rows(record: Record) -> Iterator[Mapping[str, Any]]:
    asked = {
        "id": record.id,
        "issued_at": round(record.issued_at_s * 1e6),
        "route": record.route,
        "session": record.session or None,
        "method": record.method,
        "target": record.target,
        "request_headers": list(record.headers),
        **_body("request", record.body),
    }
    yield from ({**asked, **_answered(arm)} for arm in record.arms)


def _answered(arm: ArmRecord) -> Mapping[str, Any]:
    after_us = arm.reading.after_us
    return {
        "arm": arm.arm,
        "rollout": arm.rollout or None,
        "outcome": arm.outcome,
        "failure": arm.failure or None,
        "status": arm.status or None,
        "reply_headers": list(arm.headers),
        **_body("reply", arm.body),
        "first_byte_s": after_us[0] / 1e6 if after_us else None,
        "duration_s": arm.duration_s,
        "read_after_us": list(after_us),
        "read_sizes": list(arm.reading.sizes),
        "late_us": arm.late_us[-1][1] if arm.late_us else 0,
    }


def _body(side: str, body: Body) -> Mapping[str, Any]:
    """Text in one column, what is no text in the other."""
    return {f"{side}_body": None if body.base64 else body.text, f"{side}_bytes": body.data() if body.base64 else None}
