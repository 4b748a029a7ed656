"""What is logged, before any tool's spelling: everything of the verdict, nothing of what is secret."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

import pytest

from shadowproxy.exchange import Severity
from shadowproxy.report.contents import contents
from shadowproxy.report.gathering import Gathering
from shadowproxy.trackers.record import NOTE_BYTES, Record, Source, record_of
from shadowproxy.trackers.settings import candidate_of, settings_of
from tests.report.example import document
from tests.trackers.example import MAIL, PROMPT, SECRET, record, settings


def metrics(found: Record) -> dict[str, float]:
    return {"/".join(each.path): each.value for each in found.metrics}


@pytest.mark.parametrize(("state", "number"), [("promote", 1), ("hold", 0), ("rollback", -1)])
def test_verdict_is_a_word_and_a_number(state: str, number: int) -> None:
    found = record(state)
    assert (found.state, found.identity["verdict"], metrics(found)["verdict"]) == (state, state, number)


def test_every_finding_is_logged_under_its_route_or_slice() -> None:
    found, given = metrics(record()), document("rollback")
    for finding in given["gates"]:
        where = f"slices/{finding['slice']}" if finding["slice"] else f"gates/{finding['route']}"
        where = where.replace("billing@example.com", "[email]")
        assert found[f"{where}/{finding['gate']}/upper"] == finding["upper"]
        assert found[f"{where}/{finding['gate']}/margin"] == finding["margin"]
    assert found["evidence/pairs"] == given["pairs"]
    assert "evidence/pairs_needed" not in found, "it is unknown, which is not 0"


def test_arms_are_told_apart() -> None:
    found = metrics(record())
    for arm in ("primary", "candidate", "control"):
        assert found[f"arms/{arm}/ttft_s_p50"] > 0
        assert found[f"arms/{arm}/tokens_mean"] > 0
    assert found["arms/primary/failed_share"] == 0
    assert 0 < found["arms/candidate/similarity_p05"] <= found["arms/candidate/similarity_p50"] <= 1
    assert found["kinds/refusal.shift/candidate"] == pytest.approx(1 / 64)


def test_metrics_say_whose_they_are() -> None:
    owners = {"/".join(each.path): each.arm for each in record().metrics}
    assert (owners["gates/chat/facts/upper"], owners["gates/chat/aa_error/upper"], owners["verdict"]) == ("candidate", "", "")
    assert owners["arms/primary/ttft_s_p50"] == "primary"


def test_without_pairs_only_the_document_speaks() -> None:
    found = record_of(contents(document("hold"), Gathering()), {})
    assert {each.path[0] for each in found.metrics} == {"verdict", "evidence", "gates", "slices"}


def test_what_is_no_number_is_left_out() -> None:
    given = document("hold")
    given["e_rollback_log10"] = float("nan")
    assert "evidence/e_rollback_log10" not in metrics(record_of(contents(given, Gathering()), {}))


def test_versions_are_the_candidate_and_the_primary_as_they_are_known() -> None:
    candidate, primary = record().versions
    assert (candidate.arm, candidate.name, candidate.model) == ("candidate", "llama-33", "llama-3.3-70b")
    assert candidate.settings["parameters"]["temperature"] == 0.2
    assert (primary.arm, primary.name) == ("primary", "llama-3.1-70b")


def test_prompt_has_its_version_and_the_digest_of_what_was_sent() -> None:
    found = record()
    assert found.prompt is not None
    assert (found.prompt.version, found.prompt.sha256) == ("triage-v7", hashlib.sha256(PROMPT.encode()).hexdigest())
    assert found.identity["prompt_version"] == "triage-v7"


def everything(found: Record) -> str:
    return json.dumps(asdict(found))


def test_nothing_secret_or_personal_is_logged() -> None:
    said = everything(record())
    assert SECRET not in said
    assert MAIL not in said
    assert "billing@example.com" not in said, "a slice is called after it"
    assert "primary.internal" not in said, "addresses are not told"
    assert "[email]" in said


def test_raw_shows_people_but_never_credentials() -> None:
    said = everything(record(is_raw=True))
    assert MAIL in said
    assert SECRET not in said


def test_settings_are_the_gates_that_are_on_and_the_rule() -> None:
    given = settings()
    told = settings_of(given, candidate_of(given, "llama-33"))
    assert told["gates"]["error"] == {"margin": 0.005}
    assert "cost" not in told["gates"]
    assert told["verdict"]["alpha_promote"] == 0.05
    assert told["control"] == {"percent": 100.0}
    assert told["candidate"]["parameters"] == {"temperature": 0.2, "api-key": "[secret]", "stop": ["\n"]}
    json.dumps(told)


def test_another_candidate_of_the_configuration_is_not_taken_for_it() -> None:
    assert candidate_of(settings(), "somebody") is None
    assert "candidate" not in settings_of(settings(), None)


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("old.jsonl", "old.jsonl"),
        ("what?.jsonl", "what?.jsonl"),
        ("s3://captures/june", "s3://captures/june"),
        (f"https://anna:{SECRET}@host/a.jsonl?X-Signature={SECRET}", "https://host/a.jsonl"),
    ],
)
def test_source_is_told_without_its_credentials(uri: str, told: str) -> None:
    (source,) = record_of(contents(document("hold"), Gathering()), {}, sources=(Source("journal", uri, ""),)).sources
    assert source.uri == told


def test_note_says_the_verdict_and_fits() -> None:
    note = record().note
    assert "Roll back" in note
    assert len(note.encode()) <= NOTE_BYTES


def test_kinds_are_counted_once_a_pair() -> None:
    found = metrics(record())
    shares = [value for name, value in found.items() if name.startswith("kinds/")]
    assert shares
    assert max(shares) <= 1


def test_severities_of_a_row_are_those_of_the_exchange() -> None:
    from shadowproxy.trackers.rows import _SEVERITIES

    assert set(_SEVERITIES) == {each.value for each in Severity}
