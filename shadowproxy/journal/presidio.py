"""Names and places by Microsoft's Presidio and a spaCy model (the extra ``presidio``). Slow, and right most of the time at best."""

from __future__ import annotations

from collections.abc import Callable

from shadowproxy.config import Presidio
from shadowproxy.errors import StartError
from shadowproxy.redaction.detectors import Found

_REMEDY = "pip install 'llm-shadowproxy[presidio]', and the model's package"

#: Longer texts are given in pieces; spaCy refuses a million characters, and slows down long before.
_PIECE_CHARS = 20_000


def finder(section: Presidio) -> Callable[[str], list[Found]]:
    """Text → what Presidio is sure enough of, as kinds in lower case (``person``, ``location`` …).

    Raises :class:`StartError` that names the package or model that is missing.
    """
    try:
        from presidio_analyzer import AnalyzerEngine
        from presidio_analyzer.nlp_engine import NlpEngineProvider
    except ImportError as exc:
        raise StartError(f"journal.redact.presidio: {exc.name} is not installed; {_REMEDY}") from exc
    _refuse_missing(section.model)
    models = [{"lang_code": section.language, "model_name": section.model}]
    engine = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
    analyzer = AnalyzerEngine(nlp_engine=engine, supported_languages=[section.language])

    def find(text: str) -> list[Found]:
        found = []
        for start in range(0, len(text), _PIECE_CHARS):
            piece = text[start : start + _PIECE_CHARS]
            results = analyzer.analyze(piece, language=section.language, entities=list(section.entities), score_threshold=section.min_score)
            found += [Found(start + each.start, start + each.end, each.entity_type.lower()) for each in results]
        return _without_overlap(sorted(found))

    return find


def _refuse_missing(model: str) -> None:
    """Presidio would download it; a process in production installs nothing."""
    import spacy

    if not spacy.util.is_package(model):
        raise StartError(f"journal.redact.presidio.model: {model!r} is not installed; {_REMEDY}")


def _without_overlap(found: list[Found]) -> list[Found]:
    kept: list[Found] = []
    for each in found:
        if not kept or each.start >= kept[-1].end:
            kept.append(each)
    return kept
