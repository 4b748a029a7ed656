"""What Argo CD must be told, or its self-heal puts every weight back. PURE.

Source: Argo CD, ``spec.ignoreDifferences`` of an Application and the sync option ``RespectIgnoreDifferences``.
"""

from __future__ import annotations

from typing import Any

from shadowproxy.promote.json_patch import escaped
from shadowproxy.promote.progress import ANNOTATION
from shadowproxy.promote.routers.shape import Shape


def ignore_differences(shape: Shape) -> dict[str, Any]:
    """The part of an Application's ``spec`` that leaves to us what we steer, and nothing else."""
    annotation = {"jsonPointers": [f"/metadata/annotations/{escaped(ANNOTATION)}"]} if shape.is_annotated else {}
    entries = [
        {
            "group": ref.group,
            "kind": ref.kind,
            "name": ref.name,
            "namespace": ref.namespace,
            "jqPathExpressions": list(shape.steered_fields()),
            **annotation,
        }
        for ref in shape.objects
    ]
    return {"ignoreDifferences": entries, "syncPolicy": {"syncOptions": ["RespectIgnoreDifferences=true"]}}
