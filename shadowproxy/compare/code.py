"""Whether a block of code can be read by its language. PURE. Only said of languages for which there is a real parser here.

Nothing is run. Counting brackets would be a guess in every other language: strings, comments and generics hold odd ones.
"""

from __future__ import annotations

import ast
import warnings

from shadowproxy.compare import json_values
from shadowproxy.compare.markdown import Block

PYTHON = frozenset({"python", "py", "python3", "py3"})
JSON = frozenset({"json"})

#: Characters of a block that is parsed. Python's parser takes about 16 µs and 600 bytes a character at worst (an f-string of
#: nothing but expressions), 0.3 s here; ordinary code takes a hundredth of it.
MAX_CHARACTERS = 20_000


def fault(block: Block) -> str | None:
    """What keeps a block from being read, empty where nothing does; None where that cannot be said.

    Python is that of the interpreter this runs on: older code (``print x``) and parts of a session (``>>> x``) have faults.
    """
    if len(block.code) > MAX_CHARACTERS or not block.code.strip():
        return None
    if block.language in JSON:
        return json_values.fault(block.code)
    return _python_fault(block.code) if block.language in PYTHON else None


def _python_fault(code: str) -> str | None:
    try:
        with warnings.catch_warnings():
            # Odd escapes in strings are the model's affair; no line for them in our log.
            warnings.simplefilter("ignore")
            ast.parse(code)
    except (SyntaxError, UnicodeEncodeError) as exc:
        return f"{exc.msg}, line {exc.lineno}" if isinstance(exc, SyntaxError) else str(exc)
    except (RecursionError, MemoryError, ValueError):
        # The parser's own bounds on nesting, which are checked before the stack is used up: too deep to say.
        return None
    return ""
