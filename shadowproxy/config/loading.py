"""From a file to the tree, with every problem in it at once and the nearest known name for what is unknown."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from shadowproxy.config.tree import Config
from shadowproxy.config.values import NOWHERE
from shadowproxy.errors import ConfigError, ConfigProblem


def load(path: Path) -> Config:
    """Read and check a YAML file. Raises :class:`ConfigError` with every problem in it."""
    return parse(_text(path))


def load_offline(path: Path) -> Config:
    """The same for commands that ask no server: addresses may be missing, and are not used."""
    return build({"primary": {"url": NOWHERE}, **_tree(_text(path))})


def offline() -> Config:
    """All defaults, for commands that ask no server."""
    return build({"primary": {"url": NOWHERE}})


def parse(text: str) -> Config:
    """Check configuration text. Raises :class:`ConfigError` with every problem in it."""
    return build(_tree(text))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(
            (ConfigProblem(str(path), "", f"cannot be read ({exc.strerror})", "give the path of a YAML file with -c"),)
        ) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError((ConfigProblem(str(path), "", "is not UTF-8 text", "save it as UTF-8"),)) from exc


def _tree(text: str) -> Mapping[str, Any]:
    try:
        tree = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader that also refuses doubled keys
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the file"
        raise ConfigError((ConfigProblem(where, "", f"is not YAML ({exc.problem})", "fix the syntax there"),)) from exc
    except yaml.YAMLError as exc:
        raise ConfigError((ConfigProblem("the file", "", f"is not YAML ({str(exc).splitlines()[0]})", "save it as plain text"),)) from exc
    if not isinstance(tree, Mapping):
        raise ConfigError((ConfigProblem("the file", "", "is not a mapping of keys", "begin with listen:, primary: and candidates:"),))
    return tree


def build(tree: Mapping[str, Any]) -> Config:
    """Check an already parsed tree. Raises :class:`ConfigError` with every problem in it."""
    try:
        return Config.model_validate(dict(tree))
    except ValidationError as exc:
        raise ConfigError(tuple(_problems(exc))) from exc


class _StrictLoader(yaml.SafeLoader):
    """A key written twice is an error, not a silent last-wins."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = getattr(key_node, "value", None)
            if isinstance(key, str) and key != "<<":
                if key in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands here twice", key_node.start_mark)
                seen.add(key)
        return super().construct_mapping(node, deep)


_REMEDIES = {
    "missing": ("is missing", "add it"),
    "bool_parsing": ("is not true or false", "write true or false"),
    "bool_type": ("is not true or false", "write true or false"),
    "string_type": ("is not text", "put it in quotes"),
    "dict_type": ("is not a mapping", "write keys below it"),
    "model_type": ("is not a mapping", "write keys below it"),
    "tuple_type": ("is not a list", "write items that begin with a dash"),
}
_BOUNDS = {"ge": "at least {}", "gt": "more than {}", "le": "at most {}", "lt": "less than {}"}


def _problems(exc: ValidationError) -> Iterator[ConfigProblem]:
    for error in exc.errors(include_url=False):
        key = _dotted(error["loc"])
        kind, context = error["type"], error.get("ctx", {})
        value = "" if kind == "missing" else _shown(error["input"])
        if kind == "extra_forbidden":
            yield _unknown(error["loc"], key, value)
        elif kind == "value_error":
            problem, _, remedy = str(context["error"]).partition("; ")
            # A mapping may hold a header with a secret, a URL a password: these are named and not shown.
            is_showable = len(value) <= 80 and "@" not in value and not isinstance(error["input"], Mapping)
            yield ConfigProblem(key or "the file", value if is_showable else "", problem, remedy)
        elif any(name in context for name in _BOUNDS):
            model, name = _section_at(error["loc"][:-1]), str(error["loc"][-1])
            yield ConfigProblem(key, value, f"is not {_range_of(model, name, context)}", "choose a value that is")
        elif kind == "literal_error":
            yield ConfigProblem(key, value, "is not one of the choices", f"write {context['expected']}")
        elif kind in _REMEDIES:
            yield ConfigProblem(key, value, *_REMEDIES[kind])
        elif kind.startswith(("int_", "float_")):
            yield ConfigProblem(key, value, "is not a number", "write a number without unit")
        else:
            yield ConfigProblem(key, value, f"is not valid ({error['msg'].lower()})", "see the config reference")


def _range_of(model: type[BaseModel] | None, name: str, context: Mapping[str, Any]) -> str:
    """``0..100`` where both ends are known, else ``at least 1``."""
    bounds: dict[str, Any] = {key: value for key, value in context.items() if key in _BOUNDS}
    if model is not None and name in model.model_fields:
        for part in _metadata(model.model_fields[name]):
            bounds |= {key: getattr(part, key) for key in _BOUNDS if getattr(part, key, None) is not None}
    if "ge" in bounds and "le" in bounds:
        return f"within {bounds['ge']}..{bounds['le']}"
    return " and ".join(text.format(bounds[key]) for key, text in _BOUNDS.items() if key in bounds)


def _metadata(field: Any) -> Iterator[Any]:
    """Bounds on a field, whether they stand on the field or inside ``Annotated[...] | None``."""
    yield from field.metadata
    for option in get_args(field.annotation):
        for part in getattr(option, "__metadata__", ()):
            yield from getattr(part, "metadata", (part,))


def _unknown(loc: tuple[int | str, ...], key: str, value: str) -> ConfigProblem:
    section = _section_at(loc[:-1])
    known = sorted(section.model_fields) if section else []
    near = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.5)
    remedy = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
    return ConfigProblem(key, value if len(value) <= 80 else "", "is not a known key", remedy)


def _section_at(loc: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The config class that a path of keys leads to."""
    section: type[BaseModel] = Config
    for part in loc:
        if isinstance(part, int):
            continue
        if part not in section.model_fields:
            return None
        inner = next(_sections(section.model_fields[part].annotation), None)
        if inner is None:
            return None
        section = inner
    return section


def _sections(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for option in get_args(annotation):
        yield from _sections(option)


def _dotted(loc: tuple[int | str, ...]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= 120 else text[:117] + "..."
