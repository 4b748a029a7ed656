"""A prompt version out of the MLflow Prompt Registry, for a configuration that names one.

Below ``config``, which reads it as it reads a prompt's file. The client is imported only where a configuration asks for it, and does not
report its use to anybody.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

#: What MLflow's client would do unasked: report its use to its makers, and print addresses where a verdict's JSON stands. What the user has
#: set stays.
CLIENT_ENVIRONMENT: Mapping[str, str] = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
#: Half a minute where it would try for several.
_IMPATIENCE: Mapping[str, str] = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}

_URI = re.compile(r"prompts:/(?P<name>[^/@:]+)(?:/(?P<version>\d+)|@(?P<alias>[^/@]+))")

#: ``user:password@`` of an address; MLFLOW_TRACKING_URI may hold them, and the client's messages repeat it.
_USER_INFO = re.compile(r"//[^/\s@]+@")
_SAID_CHARACTERS = 400


@dataclass(frozen=True, slots=True)
class RegisteredPrompt:
    """``uri`` names the version itself, never an alias; ``version`` is what people call it, ``NAME/VERSION``."""

    uri: str
    version: str
    text: str


def registered_prompt(uri: str) -> RegisteredPrompt:
    """The version that ``uri`` stands for now. Raises :class:`ValueError` that says what is wrong and the remedy."""
    named = _URI.fullmatch(uri)
    if named is None:
        raise ValueError("names no prompt in its registry; write prompts:/NAME/VERSION or prompts:/NAME@ALIAS")
    found = _asked(named)
    text = _text(found)
    if found.variables:
        raise ValueError(f"has variables in its registry ({', '.join(sorted(found.variables))}), which nobody fills; register it without")
    return RegisteredPrompt(f"prompts:/{found.name}/{found.version}", f"{found.name}/{found.version}", text)


def _text(found: Any) -> str:
    """What is said to the model. A chat prompt is one where it is a system message alone."""
    if isinstance(found.template, str):
        return found.template
    messages = found.template
    if len(messages) != 1 or messages[0].get("role") != "system":
        raise ValueError("has turns of a conversation in its registry; register a text, or one system message")
    return str(messages[0].get("content", ""))


def _asked(named: re.Match[str]) -> Any:
    for name, value in CLIENT_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient
    except ImportError as exc:
        raise ValueError(f"is in a registry, and {exc.name or exc} is not installed; pip install 'llm-shadowproxy[mlflow]'") from exc
    try:
        with impatient():
            client = MlflowClient()
            if named["alias"] is not None:
                found = client.get_prompt_version_by_alias(named["name"], named["alias"])
            else:
                found = client.get_prompt_version(named["name"], named["version"])
    except Exception as exc:
        raise ValueError(f"cannot be read from its registry ({said(exc)}); check MLFLOW_TRACKING_URI, the name and the version") from exc
    if found is None:
        raise ValueError("is not in its registry; check MLFLOW_TRACKING_URI, the name and the version")
    return found


def said(problem: Exception) -> str:
    """The first line of what a client says, without the credentials of an address in it."""
    return _USER_INFO.sub("//", str(problem).strip().partition("\n")[0][:_SAID_CHARACTERS]) or type(problem).__name__


@contextmanager
def impatient() -> Iterator[None]:
    """The client gives up soon, where the user has not said how patient it is to be."""
    added = {name: value for name, value in _IMPATIENCE.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
