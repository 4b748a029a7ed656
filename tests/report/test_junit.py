"""JUnit XML for CI systems."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy.report.contents import contents
from shadowproxy.report.gathering import Gathering
from shadowproxy.report.junit import junit
from tests.report.example import document, example
from tests.report.golden import assert_golden


def suite(verdict: dict[str, Any]) -> ET.Element:
    found = ET.fromstring(junit(contents(verdict, Gathering(), is_raw=True)).encode()).find("testsuite")
    assert found is not None
    return found


def test_file_is_as_it_was_last_looked_at() -> None:
    assert_golden("rollback.xml", junit(example("rollback")))


@pytest.mark.parametrize(("name", "result"), [("promote", None), ("hold", "error"), ("rollback", "failure")])
def test_verdict_is_a_case_of_its_own_and_a_hold_is_not_green(name: str, result: str | None) -> None:
    first = suite(document(name)).findall("testcase")[0]
    assert first.get("name") == "verdict"
    assert [child.tag for child in first] == [result or "system-out"]


@pytest.mark.parametrize(
    ("role", "outcome", "result"),
    [
        ("guard", "pass", None),
        ("guard", "fail", "failure"),
        ("guard", "inconclusive", "skipped"),
        ("watch", "fail", "failure"),
        ("watch", "inconclusive", "skipped"),
        ("negative_control", "fail", "error"),
    ],
)
def test_each_finding_is_a_case(role: str, outcome: str, result: str | None) -> None:
    gate = {**document("hold")["gates"][0], "role": role, "outcome": outcome}
    case = suite({**document("hold"), "gates": [gate]}).findall("testcase")[1]
    assert (case.get("classname"), case.get("name")) == (f"shadowproxy.{gate['route']}", gate["gate"])
    assert {child.tag for child in case} - {"system-out"} == ({result} if result else set())


@pytest.mark.parametrize("name", ["promote", "hold", "rollback"])
def test_totals_are_those_of_the_cases(name: str) -> None:
    found = suite(document(name))
    cases = found.findall("testcase")
    assert int(str(found.get("tests"))) == len(cases) == 1 + len(document(name)["gates"])
    for total, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(str(found.get(total))) == sum(case.find(tag) is not None for case in cases)


def test_whole_verdict_is_a_property() -> None:
    properties = {each.get("name"): each.get("value") for each in suite(document("hold")).iter("property")}
    assert json.loads(str(properties["shadowproxy.verdict"])) == document("hold")
    assert properties["shadowproxy.digest"] == document("hold")["digest"]


@settings(max_examples=60)
@given(st.text(alphabet=st.characters(), max_size=30))
def test_any_label_gives_valid_xml(label: str) -> None:
    gate = {**document("hold")["gates"][0], "route": label, "reason": label, "outcome": "fail"}
    assert len(suite({**document("hold"), "candidate": label, "gates": [gate]}).findall("testcase")) == 2
