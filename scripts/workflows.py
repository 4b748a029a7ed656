"""Writes manifests/workflows/workflows.yaml: a replay in shards for Argo Workflows, every night, and what tidies up after it.

    python scripts/workflows.py            write it
    python scripts/workflows.py --check    write nothing; exit code 1 where it is stale

Built with hera, so that what Argo Workflows does not know does not build. A test runs what the containers run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hera.workflows import (
    DAG,
    Container,
    CronWorkflow,
    NoneArchiveStrategy,
    Parameter,
    RetryStrategy,
    Task,
    WorkflowTemplate,
)
from hera.workflows import models as m
from hera.workflows.artifact import Artifact

FILE = Path(__file__).resolve().parents[1] / "manifests" / "workflows" / "workflows.yaml"

NAME = "shadowproxy-replay"

#: Argo must be told what to run: it cannot look an entry point up in a registry that wants a password.
PROGRAM = "/opt/shadowproxy/bin/shadowproxy"

CONFIG = "/etc/shadowproxy/shadowproxy.yaml"
JOURNAL, WORK, OUTCOME = "/journal", "/replay", "/tmp/outcome"

#: Names of what is asked for, with what they are where nothing else is said.
ARGUMENTS = {
    "source": JOURNAL,
    "config": NAME,
    "shards": "4",
    "image": "shadowproxy:0.1.0",
}

_RUN = f"{WORK}/{{{{inputs.parameters.run}}}}"
_SHARD = f"{_RUN}/shard-{{{{inputs.parameters.index}}}}-of-{{{{inputs.parameters.shards}}}}"

#: Verdict and reasons go out as parameters, whatever they are; the gate then fails by them. A merge that fails itself leaves no verdict.
_MERGE = f"""\
mkdir -p {OUTCOME}
{PROGRAM} replay merge "$RUN"/shard-*-of-"$SHARDS" -c {CONFIG} --outputs {OUTCOME} \\
  --report {OUTCOME}/report.html --report {OUTCOME}/report.md --report {OUTCOME}/report.xml --report {OUTCOME}/report.json || {{
    code=$?
    test -s {OUTCOME}/verdict || exit $code
  }}
cat {OUTCOME}/report*.md > {OUTCOME}/summary.md
"""

#: What is printed last is the message of the failed step.
_GATE = """\
printf '%s\\n' "$REASONS"
exit "$CODE"
"""

_TIDY = f"""\
find {WORK} -mindepth 1 -maxdepth 1 -mtime +"$DAYS" -exec rm -r {{}} +
"""


def template() -> WorkflowTemplate:
    """Shards, then the merge, then the gate."""
    with WorkflowTemplate(
        name=NAME,
        entrypoint="replay",
        arguments=[Parameter(name=name, value=value) for name, value in ARGUMENTS.items()],
        service_account_name=NAME,
        labels=_LABELS,
        pod_metadata=m.Metadata(labels=_LABELS),
        security_context=m.PodSecurityContext(
            run_as_non_root=True,
            run_as_user=65532,
            run_as_group=65532,
            fs_group=65532,
            fs_group_change_policy="OnRootMismatch",
            seccomp_profile=m.SeccompProfile(type="RuntimeDefault"),
        ),
        ttl_strategy=m.TTLStrategy(seconds_after_completion=7 * 24 * 3600),
        pod_gc=m.PodGC(strategy="OnPodSuccess"),
    ) as made:
        shard, merge, gate = _shard(), _merge(), _gate()
        _tidy()
        with DAG(
            name="replay",
            # The folder of this run. Another workflow that names the same one goes on from what it holds.
            inputs=[*(Parameter(name=name) for name in ARGUMENTS), Parameter(name="run", value="{{workflow.name}}")],
            outputs=[
                Parameter(name=name, value_from=m.ValueFrom(parameter=f"{{{{tasks.merge.outputs.parameters.{name}}}}}"))
                for name in ("verdict", "reasons", "report")
            ],
        ):
            asked = Task(
                name="shards",
                template=shard,
                arguments=[_passed(name) for name in ("source", "config", "image", "shards", "run")]
                + [Parameter(name="index", value="{{item}}")],
                with_sequence=m.Sequence(start="1", end="{{inputs.parameters.shards}}"),
            )
            merged = Task(name="merge", template=merge, arguments=[_passed(name) for name in ("config", "image", "shards", "run")])
            gated = Task(
                name="gate",
                template=gate,
                arguments=[
                    _passed("image"),
                    Parameter(name="code", value="{{tasks.merge.outputs.parameters.code}}"),
                    Parameter(name="reasons", value="{{tasks.merge.outputs.parameters.reasons}}"),
                ],
            )
            asked >> merged >> gated
    return made


def nightly() -> CronWorkflow:
    """The template by the clock. One at a time: the arms are somebody's models."""
    return CronWorkflow(
        name=f"{NAME}-nightly",
        labels=_LABELS,
        schedules=["0 3 * * *"],
        timezone="UTC",
        concurrency_policy="Forbid",
        successful_jobs_history_limit=3,
        failed_jobs_history_limit=3,
        workflow_template_ref=m.WorkflowTemplateRef(name=NAME),
    )


def tidying() -> CronWorkflow:
    """Folders of runs that nobody goes on with."""
    return CronWorkflow(
        name=f"{NAME}-tidy",
        labels=_LABELS,
        schedules=["30 2 * * *"],
        timezone="UTC",
        concurrency_policy="Forbid",
        entrypoint="tidy",
        workflow_template_ref=m.WorkflowTemplateRef(name=NAME),
    )


# --- steps ------------------------------------------------------------------------------------------------------------------

_LABELS = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": "shadowproxy"}


def _passed(name: str) -> Parameter:
    return Parameter(name=name, value=f"{{{{inputs.parameters.{name}}}}}")


def _container(name: str, inputs: Sequence[str], volumes: Sequence[str], memory: str, cpu: str = "100m", **fields: Any) -> Container:
    """A step in our image, without privileges; what it needs is in volumes of its own, so that other workflows may refer to it."""
    known = {
        "config": (
            m.Volume(name="config", config_map=m.ConfigMapVolumeSource(name="{{inputs.parameters.config}}")),
            "/etc/shadowproxy",
            True,
        ),
        "journal": (_claim("journal", "shadowproxy-journal", read_only=True), JOURNAL, True),
        "work": (_claim("work", NAME), WORK, None),
        "tmp": (m.Volume(name="tmp", empty_dir=m.EmptyDirVolumeSource(size_limit="256Mi")), "/tmp", None),
    }
    chosen = [known[each] for each in volumes]
    return Container(
        name=name,
        image="{{inputs.parameters.image}}",
        inputs=[Parameter(name=each) for each in ("image", *inputs)],
        volumes=[volume for volume, _, _ in chosen],
        volume_mounts=[m.VolumeMount(name=volume.name, mount_path=path, read_only=is_fixed) for volume, path, is_fixed in chosen],
        resources=m.ResourceRequirements(requests={"cpu": cpu, "memory": memory}, limits={"memory": memory}),
        security_context=m.SecurityContext(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            capabilities=m.Capabilities(drop=["ALL"]),
        ),
        **fields,
    )


def _claim(name: str, claim: str, *, read_only: bool | None = None) -> m.Volume:
    return m.Volume(name=name, persistent_volume_claim=m.PersistentVolumeClaimVolumeSource(claim_name=claim, read_only=read_only))


def _shard() -> Container:
    """Asks and compares one share. A second try goes on from the folder of the first; what is wrong with the input stays wrong (exit code
    2)."""
    return _container(
        "shard",
        ("source", "config", "shards", "run", "index"),
        ("config", "journal", "work", "tmp"),
        "2Gi",
        "1",
        command=[PROGRAM],
        args=[
            *("replay", "{{inputs.parameters.source}}", "-c", CONFIG, "--work", _SHARD),
            *("--shard", "{{inputs.parameters.index}}/{{inputs.parameters.shards}}", "--workers", "1"),
        ],
        # Credentials of the arms, by the names that the configuration gives (auth: {env: NAME}).
        env_from=[m.EnvFromSource(secret_ref=m.SecretEnvSource(name=f"{NAME}-credentials", optional=True))],
        retry_strategy=RetryStrategy(
            limit=4,
            retry_policy="Always",
            expression="lastRetry.exitCode != '2'",
            backoff=m.Backoff(duration="10s", factor=2, max_duration="30m"),
        ),
    )


def _merge() -> Container:
    files = {"verdict": "verdict", "code": "exit-code", "reasons": "reasons", "report": "summary.md"}
    return _container(
        "merge",
        ("config", "shards", "run"),
        ("config", "work", "tmp"),
        "2Gi",
        command=["sh", "-c", _MERGE],
        env=[m.EnvVar(name="RUN", value=_RUN), m.EnvVar(name="SHARDS", value="{{inputs.parameters.shards}}")],
        outputs=[
            *(Parameter(name=name, value_from=m.ValueFrom(path=f"{OUTCOME}/{file}")) for name, file in files.items()),
            Artifact(name="report", path=OUTCOME, archive=NoneArchiveStrategy()),
        ],
        retry_strategy=RetryStrategy(limit=2, retry_policy="OnError"),
    )


def _gate() -> Container:
    """Fails as the verdict says. Texts come in as variables: they are nobody's shell."""
    return _container(
        "gate",
        ("code", "reasons"),
        (),
        "32Mi",
        "10m",
        command=["sh", "-c", _GATE],
        env=[m.EnvVar(name=name.upper(), value=f"{{{{inputs.parameters.{name}}}}}") for name in ("code", "reasons")],
        termination_message_policy="FallbackToLogsOnError",
    )


def _tidy() -> Container:
    made = _container("tidy", (), ("work",), "32Mi", "10m", command=["sh", "-c", _TIDY], env=[m.EnvVar(name="DAYS", value="7")])
    made.inputs = [Parameter(name="image", value=ARGUMENTS["image"])]
    return made


# --- the file ---------------------------------------------------------------------------------------------------------------


class _Block(yaml.SafeDumper):
    """Scripts as they are read."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Block.add_representer(str, _text)


def written() -> str:
    documents = [made.to_dict() for made in (template(), nightly(), tidying())]
    text = yaml.dump_all(documents, Dumper=_Block, sort_keys=False, width=140, default_flow_style=False)
    return f"# Written by scripts/workflows.py.\n{text}"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; say whether it is stale")
    options = parser.parse_args(arguments)
    text = written()
    if options.check:
        is_stale = not FILE.exists() or FILE.read_text(encoding="utf-8") != text
        print("stale" if is_stale else "fresh")
        return int(is_stale)
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text, encoding="utf-8")
    print(f"{FILE.name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
