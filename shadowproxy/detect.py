"""The language detector, loaded from the model inside the ``py3langid`` package. ``compare.language`` gets it handed in.

Naive Bayes over byte n-grams for 139 languages: deterministic, offline, and linear in the text. Loading takes about a second and 75 MB,
so it is done once per process, and only where languages are compared.
"""

from __future__ import annotations

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from shadowproxy.compare.language import Detector


def load_detector() -> Detector:
    """A detector that may be called from any thread: it keeps no state between calls."""
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def detect(text: str) -> tuple[str, float]:
        label, probability = identifier.classify(text)
        return str(label), float(probability)

    return detect
