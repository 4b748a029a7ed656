"""Texts and documents for people to look at: typed placeholders in place of personal data and secrets. PURE.

Between raw texts (``AdminState.pairs``, captured content of spans) and whoever asked. The same text always gives the same placeholders, so
equal answers stay equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shadowproxy.redaction.literals import redacted


def redact(text: str) -> str:
    """The text with ``[email]``, ``[phone]``, ``[card]``, ``[iban]``, ``[api_key]``, ``[token]``, ``[jwt]``, ``[secret]``,
    ``[private_key]``, ``[credentials]``, ``[ipv4]`` and ``[ipv6]`` in place of what they name."""
    return redacted(text, lambda kind, _: f"[{kind}]")


def redact_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a JSON-able document with every text in it redacted. Keys stay: they are ours."""
    return {key: _redact_value(value) for key, value in document.items()}


def _redact_value(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return redact_document(value)
    if isinstance(value, list | tuple):
        return [_redact_value(each) for each in value]
    return value
