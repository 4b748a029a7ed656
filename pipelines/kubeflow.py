"""A replay in shards as a pipeline of Kubeflow Pipelines: shares in parallel, the merge, and a gate that fails by the verdict.

    python pipelines/kubeflow.py pipeline.yaml        compile it, for the page or the API of Kubeflow Pipelines

Needs kfp, which asks for versions of its own of what other programs use: an environment apart. The steps run in an image with kfp and this
package (pipelines/Dockerfile). Each is a function on its own, as kfp wants it: what it needs is imported within, and its annotations are
objects, not texts.
"""

import sys
from typing import List, NamedTuple  # noqa: UP035 - kfp reads annotations, and knows these

from kfp import compiler, dsl

IMAGE = "shadowproxy-kfp:0.1.0"

#: Of a share whose pod was lost; what is wrong with its input stays wrong, and is soon said again.
_RETRIES = 2


class Outcome(NamedTuple):
    """What another pipeline sees of this one."""

    verdict: str
    reasons: str


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def number_shares(shards: int) -> List[int]:  # noqa: UP006
    """1 to ``shards``."""
    if shards < 1:
        raise ValueError(f"shards: {shards} is not a whole number from 1 up")
    return list(range(1, shards + 1))


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def replay_share(source: str, config: str, index: int, shards: int, work: dsl.Output[dsl.Dataset]) -> None:
    """Ask and compare one share. ``config`` is the text of shadowproxy.yaml; the work folder is the output."""
    import subprocess
    import sys
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "shadowproxy.yaml")
        file.write_text(config, encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "shadowproxy",
            "replay",
            source,
            "-c",
            str(file),
            "--work",
            work.path,
            "--shard",
            f"{index}/{shards}",
        ]
        done = subprocess.run([*command, "--workers", "1"], check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    work.metadata["share"] = f"{index}/{shards}"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def merge_shares(
    config: str,
    works: dsl.Input[List[dsl.Dataset]],  # noqa: UP006
    page: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    junit: dsl.Output[dsl.Artifact],
    document: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> NamedTuple("Outcome", verdict=str, code=int, reasons=str):
    """Judge all shares as one. Ends well whatever the verdict is, so that its outputs are there."""
    import json
    import shutil
    import subprocess
    import sys
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        file, found = Path(folder, "shadowproxy.yaml"), Path(folder, "found")
        file.write_text(config, encoding="utf-8")
        found.mkdir()
        reports = {
            f"report.{ending}": artifact for ending, artifact in (("html", page), ("md", summary), ("xml", junit), ("json", document))
        }
        command = [sys.executable, "-m", "shadowproxy", "replay", "merge", *(each.path for each in works), "-c", str(file)]
        command += [word for name in reports for word in ("--report", str(found / name))]
        done = subprocess.run([*command, "--outputs", str(found)], check=False)
        if not (found / "verdict").exists():
            raise SystemExit(done.returncode or 1)
        if not (found / "report.json").exists():
            raise SystemExit("this pipeline judges one candidate; run it once for each, with a configuration of its own")
        for name, artifact in reports.items():
            shutil.copyfile(found / name, artifact.path)
        verdict = json.loads(Path(document.path).read_bytes())
        outcome = {name: (found / name).read_text(encoding="utf-8") for name in ("verdict", "exit-code", "reasons")}
    metrics.log_metric("pairs", max((gate["n"] for gate in verdict["gates"]), default=0))
    for gate in verdict["gates"]:
        if gate["n"]:
            metrics.log_metric(" ".join(filter(None, (gate["route"], gate["slice"], gate["gate"]))), gate["mean"])
    return (outcome["verdict"], int(outcome["exit-code"]), outcome["reasons"])


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def gate(code: int, reasons: str) -> None:
    """Fail as the verdict says: what stands behind this runs only after a promotion."""
    print(reasons)
    if code:
        raise SystemExit(code)


@dsl.pipeline(name="shadowproxy-replay", description="Captured requests against the arms of today: promote, hold or rollback.")
def replay(source: str, config: str, shards: int = 4) -> Outcome:
    """``source``: a journal at a URL, or on a volume that every step has. ``config``: the text of shadowproxy.yaml, without secrets."""
    numbers = number_shares(shards=shards).set_caching_options(False)
    with dsl.ParallelFor(numbers.output, name="shares") as index:
        share = replay_share(source=source, config=config, index=index, shards=shards)
        # A journal grows under its name, and models change behind theirs: yesterday's answers are not today's.
        share.set_caching_options(False).set_retry(_RETRIES, backoff_duration="10s", backoff_factor=2)
        share.set_cpu_request("1").set_memory_request("1Gi").set_memory_limit("2Gi")
    merged = merge_shares(config=config, works=dsl.Collected(share.outputs["work"])).set_caching_options(False)
    merged.set_memory_request("1Gi").set_memory_limit("2Gi")
    gate(code=merged.outputs["code"], reasons=merged.outputs["reasons"]).set_caching_options(False)
    return Outcome(merged.outputs["verdict"], merged.outputs["reasons"])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python pipelines/kubeflow.py FILE.yaml")
    compiler.Compiler().compile(replay, sys.argv[1])
