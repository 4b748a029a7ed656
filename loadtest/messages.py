"""What is asked and answered in every scenario: a 1 KB question, a 1 KB answer, and an event stream whose chunks carry their send time."""

from __future__ import annotations

import json

PATH = "/v1/chat/completions"
_WORDS = "the proxy keeps every request on its normal path and sends a copy of it to the version under judgement "
_MARK = "000000000000"  # takes the place of a number that differs from answer to answer, so that no cache of texts can help

TEXT = (_WORDS * 9)[:800]


_QUESTION_STREAM = '"stream":true,"max_tokens":%d,'
_QUESTION_START = '{"model":"m",%s"messages":[{"role":"user","content":"'
_QUESTION_END = '"}]}'
_REQUEST_HEAD = f"POST {PATH} HTTP/1.1\r\nhost: load\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


def question(body_bytes: int = 1024, *, chunks: int | None = None) -> bytes:
    """A chat request of about this size. ``chunks`` asks for a stream of so many pieces."""
    start = _QUESTION_START % (_QUESTION_STREAM % chunks if chunks is not None else "")
    room = max(1, body_bytes - len(start) - len(_QUESTION_END))
    return f"{start}{(_WORDS * (room // len(_WORDS) + 1))[:room]}{_QUESTION_END}".encode()


def request(body: bytes) -> bytes:
    """The whole HTTP request."""
    return (_REQUEST_HEAD % len(body)).encode() + body


def answer(number: str = _MARK) -> str:
    """The reply body; ``number`` makes its text unlike the others'."""
    return (
        f'{{"id":"chatcmpl-load","object":"chat.completion","created":0,"model":"m","choices":[{{"index":0,"message":'
        f'{{"role":"assistant","content":"{number} {TEXT}"}},"finish_reason":"stop"}}],'
        f'"usage":{{"prompt_tokens":200,"completion_tokens":180,"total_tokens":380}}}}'
    )


REPLY_NUMBER = _MARK.encode()
REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(answer()), answer().encode())
FAILURE = b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"

STAMP_MARK = b"@@"
STAMP_DIGITS = 16  # nanoseconds of the monotonic clock, which both ends on one machine share: 115 days of uptime
_EVENT = (
    b'data: {"id":"chatcmpl-load","object":"chat.completion.chunk","created":0,"model":"m","choices":[{"index":0,'
    b'"delta":{"content":"@@%016d words of it"},"finish_reason":null}]}\n\n'
)
_LAST_EVENT = (
    b'data: {"id":"chatcmpl-load","object":"chat.completion.chunk","created":0,"model":"m","choices":[{"index":0,'
    b'"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
_EVENT_CHUNK = b"%x\r\n%b\r\n" % (len(_EVENT % 0), _EVENT)
STREAM_END = b"%x\r\n%b\r\n0\r\n\r\n" % (len(_LAST_EVENT), _LAST_EVENT)


def stamped_chunk(now_ns: int) -> bytes:
    """One piece of a stream, about 200 bytes, with the moment it was sent."""
    return _EVENT_CHUNK % now_ns


def c_header() -> str:
    """The same for the programs in C: text as string literals, with their ``%`` still to be filled in where a name ends in FORMAT."""
    texts = {
        "REPLY": REPLY,
        "REPLY_NUMBER": REPLY_NUMBER,
        "FAILURE": FAILURE,
        "STREAM_HEAD": STREAM_HEAD,
        "STREAM_CHUNK": stamped_chunk(0),
        "STREAM_END": STREAM_END,
        "STREAM_DONE": b"data: [DONE]\n\n",
        "STAMP_MARK": STAMP_MARK,
        "REQUEST_HEAD_FORMAT": _REQUEST_HEAD.encode(),
        "QUESTION_STREAM_FORMAT": _QUESTION_STREAM.encode(),
        "QUESTION_START_FORMAT": _QUESTION_START.encode(),
        "QUESTION_WORDS": _WORDS.encode(),
        "QUESTION_END": _QUESTION_END.encode(),
    }
    lines = [f"#define {name} {json.dumps(text.decode('ascii'))}" for name, text in texts.items()]  # its escapes are C's, too
    return "\n".join([*lines, f"#define STAMP_DIGITS {STAMP_DIGITS}", ""])
