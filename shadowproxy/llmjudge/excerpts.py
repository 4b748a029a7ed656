"""What is shown of a text: bounded, without what a chat template would take for its own marks, and redacted where that is asked for. PURE.

For ``asking``. Whatever a text holds, its excerpt is valid Unicode and no longer than asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable

#: Stands where the middle of a long text was.
LEFT_OUT = "\n[... the middle of this text was left out ...]\n"

#: Redaction sees this many times more of either end than is shown: a secret that is cut in half is not recognised any more.
_REACH = 4

#: Marks with which chat templates begin and end turns (ChatML, Llama, Gemma, Mistral, DeepSeek). Many servers read them in a message's
#: text as if they had written them themselves: an answer that ends our turn could begin one of its own.
_TEMPLATE_MARKS = re.compile(
    r"<(?=[|\uff5c]|/?s>|/?(?:start_of_turn|end_of_turn|bos|eos|think|tool_call)>|</?SYS>>)|\[(?=/?(?:INST|AVAILABLE_TOOLS|SYSTEM_PROMPT)\])",
    re.IGNORECASE,
)


def excerpt(text: str, most_bytes: int, redact: Callable[[str], str] | None = None) -> str:
    """``text``, or its beginning and its end where it is longer than ``most_bytes`` in UTF-8. At least 100 bytes are asked for."""
    reach = _REACH * most_bytes
    seen = text if len(text) <= 2 * reach else text[:reach] + text[-reach:]
    return _cut(disarmed(redact(seen) if redact else seen), most_bytes)


def disarmed(text: str) -> str:
    """``text`` with a blank after the first sign of whatever a chat template would take for its own."""
    return _TEMPLATE_MARKS.sub(lambda found: found[0] + " ", text)


def _cut(text: str, most_bytes: int) -> str:
    data = text.encode("utf-8", "replace")  # lone surrogates become question marks
    if len(data) <= most_bytes:
        return data.decode()
    half = (most_bytes - len(LEFT_OUT)) // 2
    # A character that lies on the cut is dropped.
    return data[:half].decode("utf-8", "ignore") + LEFT_OUT + data[-half:].decode("utf-8", "ignore")
