"""Checks objects against CustomResourceDefinitions, as strictly as an API server with field validation: unknown fields are refused.

Rules in CEL (``x-kubernetes-validations``) are not evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml


class CrdChecks:
    """Schemas of the definitions in a folder. ``checks(group, version, plural, object)`` lists what is wrong with it.

    Kinds that no file defines are not checked. Each file is read when its first object comes.
    """

    def __init__(self, folder: Path) -> None:
        self._files = tuple(sorted(folder.glob("*.yaml")))
        self._validators: dict[tuple[str, str, str], jsonschema_rs.Draft4Validator] = {}
        self._loaded: set[Path] = set()

    def __call__(self, group: str, version: str, plural: str, document: Mapping[str, Any]) -> list[str]:
        validator = self._validator(group, version, plural)
        if validator is None:
            return []
        return [f"{_dotted(error.instance_path)}: {error.message}" for error in validator.iter_errors(dict(document))]

    def _validator(self, group: str, version: str, plural: str) -> jsonschema_rs.Draft4Validator | None:
        """The validator; reads files that mention the definition, and none twice."""
        name = f"{plural}.{group}"
        for path in self._files:
            if (group, version, plural) in self._validators:
                break
            if path not in self._loaded and f"name: {name}\n" in path.read_text(encoding="utf-8"):
                self._loaded.add(path)
                self._load(path, name)
        return self._validators.get((group, version, plural))

    def _load(self, path: Path, name: str) -> None:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        for definition in yaml.load_all(path.read_text(encoding="utf-8"), Loader=loader):
            if definition and definition["metadata"]["name"] == name:
                spec = definition["spec"]
                for version in spec["versions"]:
                    schema = closed(version["schema"]["openAPIV3Schema"])
                    schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
                    key = (spec["group"], version["name"], spec["names"]["plural"])
                    self._validators[key] = jsonschema_rs.Draft4Validator(schema)


def closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A structural schema as JSON Schema: closed where it does not preserve unknown fields, null where it is nullable."""
    made = {key: _closed_part(key, value) for key, value in schema.items() if not key.startswith("x-") and key not in _FOREIGN}
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if "properties" in made and "additionalProperties" not in made and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made["additionalProperties"] = False
    if schema.get("nullable") and "type" in made:
        made["type"] = [made["type"], "null"]
    return made


#: Words of OpenAPI that mean something else in JSON Schema, or nothing; formats say how a number is stored.
_FOREIGN = frozenset({"nullable", "format", "description", "default", "example", "externalDocs"})


def _closed_part(key: str, value: Any) -> Any:
    match key, value:
        case "properties", Mapping():
            return {name: closed(part) for name, part in value.items()}
        case (("items" | "additionalProperties" | "not"), Mapping()):
            return closed(value) if key != "not" else value
        case _:
            return value


def _dotted(path: list[str | int]) -> str:
    return ".".join(str(part) for part in path) or "the object"
