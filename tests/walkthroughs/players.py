"""Controllers of others, as far as a walk-through meets them: what they make of an object that was written."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]


class KServe:
    """Makes a revision of each model at once, and rolls the latest out when it has all of the traffic."""

    def __init__(self) -> None:
        self._models: list[str] = []
        self._rolled_out = ["", ""]  # the latest, and the one before

    def __call__(self, document: Document) -> Document | None:
        predictor = document["spec"]["predictor"]
        model = predictor["model"]["storageUri"]
        if not self._models or self._models[-1] != model:
            self._models.append(model)
        latest = f"{document['metadata']['name']}-predictor-{len(self._models):05d}"
        if predictor.get("canaryTrafficPercent", 100) == 100 and self._rolled_out[0] != latest:
            self._rolled_out = [latest, self._rolled_out[0]]
        component = {
            "latestCreatedRevision": latest,
            "latestReadyRevision": latest,
            "latestRolledoutRevision": self._rolled_out[0],
            "previousRolledoutRevision": self._rolled_out[1] or self._rolled_out[0],
        }
        return {"status": {"components": {"predictor": component}, "conditions": [{"type": "Ready", "status": "True"}]}}
