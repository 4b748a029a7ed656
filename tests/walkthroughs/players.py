"""Controllers of others, as far as a walk-through meets them: what they make of objects that were written."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.walkthroughs.clusters import Place

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


# --- Argo Rollouts ------------------------------------------------------------------------------------------------------


@dataclass
class Measuring:
    """An AnalysisRun of one metric with a web provider, by the rules of Argo Rollouts' analysis."""

    metric: Document
    measurements: list[Document] = field(default_factory=list)

    def take(self, status: int, value: Any) -> None:
        """One answer: an error, or what the two conditions say of its value. Neither, where both are given: inconclusive."""
        wins, fails = (_holds(self.metric.get(name), value) for name in ("successCondition", "failureCondition"))
        if not 200 <= status < 300:
            phase = "Error"
        elif fails or (fails is None and wins is False):
            phase = "Failed"
        elif wins or (wins is None and fails is False):
            phase = "Successful"
        else:
            phase = "Inconclusive"
        self.measurements.append({"phase": phase, "value": str(value)})

    @property
    def phase(self) -> str:
        """Where the run stands."""
        phases = [each["phase"] for each in self.measurements]
        if phases.count("Failed") > self.metric.get("failureLimit", 0):
            return "Failed"
        if phases[-1:] == ["Successful"] and self.metric["consecutiveSuccessLimit"] == 1:
            return "Successful"
        if phases.count("Inconclusive") > self.metric["inconclusiveLimit"]:
            return "Inconclusive"
        errors = len(phases) - max((number + 1 for number, phase in enumerate(phases) if phase != "Error"), default=0)
        return "Error" if errors > self.metric["consecutiveErrorLimit"] else "Running"

    def status(self) -> Document:
        phases = [each["phase"] for each in self.measurements]
        counts = {phase.lower(): phases.count(phase) for phase in ("Successful", "Failed", "Inconclusive", "Error")}
        result = {"name": self.metric["name"], "phase": self.phase, "measurements": self.measurements, **counts}
        return {"phase": self.phase, "metricResults": [result]}


def _holds(condition: str | None, value: Any) -> bool | None:
    """What ``result == NUMBER`` says of a value; None where there is no condition. No other is needed here."""
    if condition is None:
        return None
    wanted = re.fullmatch(r"result == (-?\d+)", condition)
    assert wanted is not None, condition
    return bool(value == int(wanted[1]))


class ArgoRollouts:
    """Goes through the steps of one Rollout for each new pod template. ``judge`` is where the answer of every AnalysisTemplate is."""

    def __init__(self, place: Place, name: str, judge: str) -> None:
        self._place = place
        self._name = name
        self._judge = judge
        self._revision = 0
        self._running: Any = None  # the pod template that is stable

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            rollout = self._place.get("rollouts", self._name)
            if rollout is not None and rollout["spec"]["template"] != self._running:
                await self._roll_out(rollout)
            await asyncio.sleep(0.1)

    async def _roll_out(self, rollout: Document) -> None:
        self._revision += 1
        is_first, self._running = self._running is None, rollout["spec"]["template"]
        is_fine = is_first or await self._all_steps(rollout)
        if not is_first:
            await self._set_weight(rollout, 0)
        await self._tell({"phase": "Healthy", "abort": False} if is_fine else {"phase": "Degraded", "abort": True})

    async def _all_steps(self, rollout: Document) -> bool:
        """False where an analysis failed: everything goes back."""
        for number, step in enumerate(rollout["spec"]["strategy"]["canary"]["steps"]):
            await self._tell({"phase": "Progressing", "currentStepIndex": number})
            if "setWeight" in step:
                await self._set_weight(rollout, step["setWeight"])
            elif "pause" in step:
                await asyncio.sleep(float(step["pause"]["duration"].removesuffix("s")))
            elif "analysis" in step and not await self._analyse(step["analysis"], number):
                return False
        return True

    async def _analyse(self, analysis: Document, step: int) -> bool:
        (reference,) = analysis["templates"]
        template = self._place.get("analysistemplates", reference["templateName"])
        assert template is not None
        (metric,) = template["spec"]["metrics"]
        run = Measuring(metric)
        labels = {"rollout-type": "Step", "step-index": str(step)}
        name = f"{self._name}-{self._revision}-{step}"
        spec = {"metrics": [metric]}
        while run.phase == "Running":
            run.take(*await self._ask(metric["provider"]["web"], {each["name"]: each["value"] for each in analysis["args"]}))
            await self._place.amend("analysisruns", name, {"metadata": {"labels": labels}, "spec": spec, "status": run.status()})
            if run.phase == "Running":
                await asyncio.sleep(float(metric["interval"].removesuffix("s")))
        return run.phase == "Successful"

    async def _ask(self, web: Document, arguments: dict[str, str]) -> tuple[int, Any]:
        url = re.sub(r"{{args\.([\w-]+)}}", lambda found: arguments[found[1]], web["url"])
        path = re.sub(r"^http://[^/]+", "", url)
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(f"http://{self._judge}{path}") as reply:
                    answer = await reply.json()
            except aiohttp.ClientError as exc:
                return 0, str(exc)
        field_of_it = re.fullmatch(r"{\$\.(\w+)}", web["jsonPath"])
        assert field_of_it is not None, web["jsonPath"]
        return reply.status, answer.get(field_of_it[1])

    async def _set_weight(self, rollout: Document, percent: int) -> None:
        canary = rollout["spec"]["strategy"]["canary"]
        where = canary["trafficRouting"]["istio"]["virtualService"]
        service = self._place.get("virtualservices", where["name"])
        assert service is not None
        for route in service["spec"]["http"]:
            if route["name"] in where["routes"]:
                for each in route["route"]:
                    each["weight"] = percent if each["destination"]["host"] == canary["canaryService"] else 100 - percent
        await self._place.amend("virtualservices", where["name"], {"spec": {"http": service["spec"]["http"]}})

    async def _tell(self, status: Document) -> None:
        await self._place.amend("rollouts", self._name, {"status": status})
