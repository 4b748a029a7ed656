"""JUnit XML, so that a CI system shows each gate as a test. PURE.

A finding is a ``testcase``: its stratum is the class, its gate the name. Beyond the margin is a ``failure``. Not decided is ``skipped``,
because nothing failed and nothing passed. On top stands one case for the verdict itself, and there a hold is an ``error``: a system that
looks at colours alone must not take "we do not know" for green. A failed self-check is an ``error`` too: the instrument broke, not the
candidate. Of the dialects in use this keeps to what GitLab, Jenkins and GitHub's reporters all read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from shadowproxy.report.contents import Contents
from shadowproxy.report.markup import Markup, joined, tag
from shadowproxy.report.wording import headline, moment, ordered, remedy, stratum
from shadowproxy.verdict.gates import Role

FAILURE, ERROR, SKIPPED = "failure", "error", "skipped"

#: What becomes of the verdict's own case.
_BY_STATE: Mapping[str, str | None] = {"promote": None, "hold": ERROR, "rollback": FAILURE}


def junit(contents: Contents) -> str:
    """The whole file."""
    document = contents.document
    cases = [_verdict_case(document), *(_case(each) for each in ordered(document["gates"]))]
    results = [result for result, _ in cases]
    totals = {"tests": len(cases), "failures": results.count(FAILURE), "errors": results.count(ERROR), "skipped": results.count(SKIPPED)}
    sizes = {name: str(value) for name, value in totals.items()}
    name = f"shadowproxy: {document['candidate']}"
    suite = tag(
        "testsuite",
        _properties(document),
        *(case for _, case in cases),
        name=name,
        **sizes,
        time=f"{document['age_s']:.3f}",
        **_when(document),
    )
    whole = {key: value for key, value in sizes.items() if key != "skipped"}
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tag("testsuites", suite, name="shadowproxy", **whole)}\n'


def _when(document: Mapping[str, Any]) -> dict[str, str]:
    decided_at_s = document["provenance"]["decided_at_s"]
    return {} if decided_at_s is None else {"timestamp": moment(decided_at_s).removesuffix(" UTC").replace(" ", "T")}


def _properties(document: Mapping[str, Any]) -> Markup:
    values = {
        "state": document["state"],
        "candidate": document["candidate"],
        "rollout": document["rollout"],
        "digest": document["digest"],
        "verdict": json.dumps(document, separators=(",", ":"), ensure_ascii=True),
    }
    return tag("properties", *(tag("property", name=f"shadowproxy.{name}", value=str(value)) for name, value in values.items()))


def _verdict_case(document: Mapping[str, Any]) -> tuple[str | None, Markup]:
    result = _BY_STATE.get(document["state"], ERROR)
    lines = [line for reason in document["reasons"] for line in (reason["text"], remedy(reason["code"])) if line]
    return result, _testcase(document["candidate"], "verdict", result, document["state"], headline(document), lines)


def _case(finding: Mapping[str, Any]) -> tuple[str | None, Markup]:
    result = _result(finding)
    lines = [
        finding["reason"],
        f"mean {finding['mean']}, at least {finding['lower']}, at most {finding['upper']}, margin {finding['margin']}",
        f"{finding['n']} pairs, {finding['lost']} lost; {json.dumps(finding['counts'])}",
    ]
    return result, _testcase(stratum(finding), finding["gate"], result, f"worse:{finding['gate']}", finding["reason"], lines)


def _result(finding: Mapping[str, Any]) -> str | None:
    if finding["outcome"] == "pass":
        return None
    if finding["outcome"] == "fail":
        return ERROR if finding["role"] == Role.NEGATIVE_CONTROL else FAILURE
    return SKIPPED


def _testcase(where: str, name: str, result: str | None, kind: str, message: str, lines: Sequence[str]) -> Markup:
    said = "\n".join(lines)
    inner = tag("system-out", said)
    if result == SKIPPED:
        inner = joined(tag(result, message=message), inner)
    elif result is not None:
        inner = tag(result, said, message=message, type=kind)
    return tag("testcase", inner, classname=f"shadowproxy.{where}", name=name, time="0")
