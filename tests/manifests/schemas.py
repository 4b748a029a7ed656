"""CustomResourceDefinitions as JSON Schemas that refuse what an API server would refuse or drop.

The definitions are no part of this project; without them the tests that need them skip.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

DEFINITIONS = (Path(__file__).resolve().parents[2] / "../shared/crds").resolve()

needs_definitions = pytest.mark.skipif(not DEFINITIONS.is_dir(), reason="definitions of custom resources (../shared/crds) are not there")

#: What an API server adds to every definition that does not say it itself.
_EVERY_OBJECT = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}

_OPEN = "x-kubernetes-preserve-unknown-fields"


def validator(group: str, version: str, kind: str) -> Any:
    """A validator; None where nobody has defined that kind."""
    schema = next((found for path in sorted(DEFINITIONS.glob("*.yaml")) if (found := _schema_in(path, group, version, kind))), None)
    if schema is None:
        return None
    checked = strict(schema)
    checked["properties"] = {**_EVERY_OBJECT, **checked["properties"]}
    return jsonschema_rs.Draft7Validator(checked)


def _schema_in(path: Path, group: str, version: str, kind: str) -> Any:
    if f"kind: {kind}\n" not in path.read_text(encoding="utf-8"):
        return None
    for definition in _definitions(path):
        spec = definition["spec"]
        if (spec["group"], spec["names"]["kind"]) == (group, kind):
            return next(each["schema"]["openAPIV3Schema"] for each in spec["versions"] if each["name"] == version)
    return None


@functools.cache
def _definitions(path: Path) -> list[Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    documents = yaml.load_all(path.read_text(encoding="utf-8"), loader)
    return [each for each in documents if each and each["kind"] == "CustomResourceDefinition"]


def strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The structural schema with unknown fields refused, and Kubernetes' own extensions in words of JSON Schema.

    Only the structure is followed: under ``anyOf`` and its like there are conditions, which must stay as they are.
    """
    made = {key: value for key, value in schema.items() if key != "format"}
    if "pattern" in schema:
        made["pattern"] = schema["pattern"].replace("(?i)", "")  # Go's flags are no part of JSON Schema; what is left is stricter
    if schema.get("x-kubernetes-int-or-string"):
        return {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    if "properties" in schema:
        made["properties"] = {name: strict(each) for name, each in schema["properties"].items()}
        if not schema.get(_OPEN) and "additionalProperties" not in schema:
            made["additionalProperties"] = False
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            made[key] = strict(schema[key])
    if schema.get("nullable") and "type" in made:
        made["type"] = [made["type"], "null"]
    return made
