"""``shadowproxy manifests``: the objects of manifests/ for those who do not use Kustomize.

What Kustomize builds is packaged under rendered/ (``scripts/rendered.py`` writes it, a test compares it). Here the image, the namespace and
the configuration are put in.
"""

from __future__ import annotations

import argparse
import hashlib
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from shadowproxy import config
from shadowproxy.errors import InputError

#: argparse has no public name for what add_subparsers returns.
_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001

_FILE = "shadowproxy.yaml"
_IMAGE, _NAMESPACE = "shadowproxy:0.1.0", "models"

#: Hexadecimal digits behind the ConfigMap's name: another configuration is another name, so that pods are replaced by it.
_DIGEST_DIGITS = 10


def add_commands(commands: _Commands) -> None:
    """Add ``manifests`` with ``list`` and ``render``."""
    manifests = commands.add_parser("manifests", help="print Kubernetes manifests without Kustomize")
    verbs = manifests.add_subparsers(
        required=True, metavar="VERB", help="list what there is, or render one with your image, namespace and configuration"
    )
    verbs.add_parser("list", help="print the names of what can be rendered").set_defaults(run=_list)
    render = verbs.add_parser("render", help="print the objects of one of them")
    render.add_argument("name", metavar="NAME", help="one of shadowproxy manifests list")
    render.add_argument("--image", default=_IMAGE, metavar="IMAGE", help=f"our image (default: {_IMAGE})")
    render.add_argument("--namespace", metavar="NAMESPACE", help="instead of the one in the manifests")
    render.add_argument("-c", "--config", type=Path, metavar="FILE", help="configuration for its ConfigMap, YAML; checked first")
    render.set_defaults(run=_render)


def names() -> list[str]:
    """What can be rendered."""
    return sorted(each.name.removesuffix(".yaml") for each in _folder().iterdir() if each.name.endswith(".yaml"))


def render(name: str, *, image: str = _IMAGE, namespace: str | None = None, configuration: str | None = None) -> str:
    """The objects called ``name`` as one YAML stream. Raises :class:`InputError` for a name that is not there, or where there is no
    ConfigMap to put ``configuration`` into."""
    if name not in names():
        raise InputError(f"there are no manifests called {name!r}; there are {', '.join(names())}")
    text = (_folder() / f"{name}.yaml").read_text(encoding="utf-8").replace(f"image: {_IMAGE}\n", f"image: {image}\n")
    if namespace is not None:
        text = _moved(text, namespace)
    return text if configuration is None else _configured(name, text, configuration)


def _folder() -> Any:
    return resources.files("shadowproxy") / "rendered"


def _moved(text: str, namespace: str) -> str:
    """Every mention of the namespace: of objects, in names of Services within the cluster, in paths of a gateway, and in identities of the
    mesh."""
    for around in ("namespace: {}\n", ".{}.svc", ".svc/{}/", "ns/{}/sa", "- {}\n"):
        text = text.replace(around.format(_NAMESPACE), around.format(namespace))
    return text


def _configured(name: str, text: str, configuration: str) -> str:
    found = next((each for each in yaml.safe_load_all(text) if each["kind"] == "ConfigMap" and _FILE in each["data"]), None)
    if found is None:
        raise InputError(f"{name} has no configuration; leave -c out")
    old = found["metadata"]["name"]
    digest = hashlib.sha256(configuration.encode()).hexdigest()[:_DIGEST_DIGITS]
    parts = (_with(each, old, configuration) for each in yaml.safe_load_all(text))
    return yaml.safe_dump_all(parts, sort_keys=False).replace(old, f"{old.rpartition('-')[0]}-{digest}")


def _with(each: dict[str, Any], name: str, configuration: str) -> dict[str, Any]:
    is_it = each["kind"] == "ConfigMap" and each["metadata"]["name"] == name
    return {**each, "data": {**each["data"], _FILE: configuration}} if is_it else each


def _list(_: argparse.Namespace) -> int:
    print("\n".join(names()))
    return 0


def _render(options: argparse.Namespace) -> int:
    configuration = None
    if options.config is not None:
        config.load(options.config)
        configuration = options.config.read_text(encoding="utf-8")
    print(render(options.name, image=options.image, namespace=options.namespace, configuration=configuration), end="")
    return 0
