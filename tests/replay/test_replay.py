"""Captured requests asked again: who is asked what, what is kept, and what the verdict says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from shadowproxy.journal.reader import read
from shadowproxy.replay.work import AnswerLine
from tests.replay.arms import Arm, says
from tests.replay.captures import capture, captured, configured, exchange, question, run, timeless


@pytest.fixture
def arm() -> Iterator[Arm]:
    with Arm() as arm:
        yield arm


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def verdict(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    return dict(json.loads(capsys.readouterr().out))


def gates(document: object) -> dict[str, tuple[int, float]]:
    assert isinstance(document, dict)
    return {each["gate"]: (each["n"], each["mean"]) for each in document["gates"] if each["n"]}


def test_a_candidate_as_good_is_promoted_from_a_capture(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(
        "replay", captured(tmp_path / "j", 200, control=True), "-c", configured(tmp_path, arm.url, control={"percent": 100}), "--json"
    )
    found = verdict(capsys)
    assert (code, found["state"]) == (0, "promote")
    assert gates(found)["error"] == (200, 0.0)
    assert arm.questions == {question(number): 1 for number in range(200)}, "each request once, and the primary was not asked at all"


def test_a_failing_candidate_is_rolled_back_by_the_exit_code_of_verdict(
    tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]
) -> None:
    arm.refuse = lambda number, _: (500, {}, "out of memory") if number % 2 else None
    assert run("replay", captured(tmp_path / "j", 200), "-c", configured(tmp_path, arm.url), "--json") == 4
    assert gates(verdict(capsys))["error"] == (200, 0.5)


def test_a_replay_says_what_verdict_says_of_the_same_answers(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    def wrong(number: int) -> str:
        return says(question(number)) if number % 5 else "I am sorry, but I cannot help with that."

    by_question = {question(number): wrong(number) for number in range(150)}
    arm.answer = by_question.__getitem__
    config = configured(tmp_path, arm.url, gates={"ttft": {"enabled": False}})
    assert run("replay", captured(tmp_path / "j", 150), "-c", config, "--json") in (0, 3, 4)
    replayed = gates(verdict(capsys))
    for name, answer in (("old", lambda number: says(question(number))), ("v2", wrong)):
        lines = [{"id": number, "prompt": question(number), "answer": answer(number), "route": "chat"} for number in range(150)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run("verdict", "--primary", tmp_path / "old.jsonl", "--candidate", tmp_path / "v2.jsonl", "-c", config, "--json")
    recorded = gates(verdict(capsys))
    assert replayed["refusal_absolute"][1] == recorded["refusal_absolute"][1] == pytest.approx(30 / 150)
    shared = replayed.keys() & recorded.keys()
    assert {gate: replayed[gate] for gate in shared} == {gate: recorded[gate] for gate in shared}
    assert {"error", "facts_absolute"} <= shared


def test_requests_go_out_in_the_order_in_which_they_were_issued(tmp_path: Path, arm: Arm) -> None:
    late_first = [exchange(number, "x", at_s=float(100 - number)) for number in range(30)]
    place = capture(tmp_path / "j", ((each, (), "") for each in late_first))
    run("replay", place, "-c", configured(tmp_path, arm.url), "--concurrency", "1")
    assert [each.question for each in arm.asked] == [question(number) for number in reversed(range(30))]


def test_a_closed_loop_keeps_so_many_in_flight(tmp_path: Path, arm: Arm) -> None:
    arm.delay_s = 0.02
    run("replay", captured(tmp_path / "j", 60), "-c", configured(tmp_path, arm.url), "--concurrency", "7")
    assert arm.most_at_once == 7


def test_the_original_pace_waits_between_requests(tmp_path: Path, arm: Arm) -> None:
    moments = (0.0, 0.6, 1.2)
    place = capture(tmp_path / "j", ((exchange(number, "x", at_s=at_s), (), "") for number, at_s in enumerate(moments)))
    run("replay", place, "-c", configured(tmp_path, arm.url), "--speed", "2")
    gaps = [later.at_s - earlier.at_s for earlier, later in zip(arm.asked, arm.asked[1:], strict=False)]
    assert len(gaps) == 2
    assert all(gap > 0.29 for gap in gaps), gaps


def test_a_busy_arm_is_waited_for_as_long_as_it_says(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    arm.refuse = lambda number, _: (429, {"retry-after": "1"}, "slow down") if number == 1 else None
    run("replay", captured(tmp_path / "j", 40), "-c", configured(tmp_path, arm.url), "--concurrency", "1", "--json")
    assert gates(verdict(capsys))["error"] == (40, 0.0), "what is only busy has not failed"
    first, second = arm.asked[:2]
    assert first.question == second.question
    assert second.at_s - first.at_s >= 0.99


def test_an_arm_that_stays_busy_has_failed_in_the_end(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    arm.refuse = lambda _, asked: (429, {"retry-after": "0"}, "quota") if asked == question(3) else None
    run("replay", captured(tmp_path / "j", 40), "-c", configured(tmp_path, arm.url), "--tries", "3", "--report", "r.md")
    assert arm.questions[question(3)] == 3
    said = capsys.readouterr().out
    assert "v2 was asked again 2 times because it was busy" in said
    assert "v2 stayed busy or unreachable for 1 requests" in said
    assert "v2 stayed busy or unreachable for 1 requests" in Path("r.md").read_text()


def test_an_arm_that_was_never_there_is_no_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(tmp_path, "http://127.0.0.1:1")
    assert run("replay", captured(tmp_path / "j", 10), "-c", config, "--tries", "1") == 1
    assert "v2 was never reached" in capsys.readouterr().err


def test_rates_are_kept_by_arm(tmp_path: Path, arm: Arm) -> None:
    run("replay", captured(tmp_path / "j", 12), "-c", configured(tmp_path, arm.url), "--rate", "v2=20")
    assert arm.asked[-1].at_s - arm.asked[0].at_s >= 11 / 20 * 0.95


# --- which arms ---------------------------------------------------------------------------------------------------------------


def test_with_fresh_the_primary_is_asked_too(tmp_path: Path, arm: Arm) -> None:
    with Arm() as primary:
        config = configured(tmp_path, arm.url, primary={"url": primary.url})
        run("replay", captured(tmp_path / "j", 20), "-c", config, "--fresh")
        assert primary.questions == arm.questions
        assert {each.arm for each in primary.asked} == {"primary"}


def test_the_control_is_the_primary_asked_again(tmp_path: Path, arm: Arm) -> None:
    with Arm() as primary:
        config = configured(tmp_path, arm.url, primary={"url": primary.url}, control={"percent": 100})
        run("replay", captured(tmp_path / "j", 20), "-c", config)
        assert {each.arm for each in primary.asked} == {"control"}
        assert len(primary.asked) == 20


def test_recorded_answers_of_every_arm_ask_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = captured(tmp_path / "j", 120, control=True, candidate=lambda number: says(question(number)))
    config = configured(tmp_path, control={"percent": 100})
    assert run("replay", place, "-c", config, "--recorded", "v2", "--json") == 0
    assert gates(verdict(capsys))["error"] == (120, 0.0)


def test_what_the_capture_does_not_hold_cannot_be_taken_from_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("replay", captured(tmp_path / "j", 5), "-c", configured(tmp_path), "--recorded", "v2") == 2
    assert "--recorded v2: the capture holds no answer of it; it holds those of: primary" in capsys.readouterr().err


def test_asking_a_primary_that_nobody_named_is_refused_before_anything_is_asked(
    tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("replay", captured(tmp_path / "j", 5), "-c", configured(tmp_path, arm.url), "--fresh") == 2
    assert "primary.url: is missing" in capsys.readouterr().err
    assert not arm.asked


def test_several_candidates_have_a_verdict_each_and_the_worst_decides(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    with Arm(refuse=lambda *_: (500, {}, "no")) as bad:
        config = tmp_path / "config.yaml"
        tree = yaml.safe_load(configured(tmp_path).read_text())
        tree["candidates"] = [{"name": "good", "url": arm.url}, {"name": "bad", "url": bad.url}]
        config.write_text(yaml.safe_dump(tree))
        code = run("replay", captured(tmp_path / "j", 120), "-c", config, "--json", "--report", "r.md")
        documents = json.loads(capsys.readouterr().out)
        assert {each["candidate"]: each["state"] for each in documents}["bad"] == "rollback"
        assert code == 4
        assert "good" in Path("r-good.md").read_text()
        assert "bad" in Path("r-bad.md").read_text()


def test_a_candidate_is_asked_as_it_is_configured(tmp_path: Path, arm: Arm) -> None:
    config = configured(tmp_path)
    tree = yaml.safe_load(config.read_text())
    tree["candidates"] = [
        {"name": "v2", "url": arm.url, "model": "new", "parameters": {"temperature": 0}, "prompt": {"system": "Be brief."}}
    ]
    config.write_text(yaml.safe_dump(tree))
    run("replay", captured(tmp_path / "j", 5), "-c", config)
    asked = arm.asked[0].body
    assert (asked["model"], asked["temperature"]) == ("new", 0)
    assert asked["messages"][0] == {"role": "system", "content": "Be brief."}


def test_credentials_of_ours_reach_their_arm_and_no_file(tmp_path: Path, arm: Arm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2_KEY", "sk-of-our-own-1234567890")
    config = configured(tmp_path)
    tree = yaml.safe_load(config.read_text())
    tree["candidates"] = [{"name": "v2", "url": arm.url, "auth": {"env": "V2_KEY"}}]
    config.write_text(yaml.safe_dump(tree))
    run("replay", captured(tmp_path / "j", 5), "-c", config, "--work", "w")
    assert arm.asked[0].headers["Authorization"] == "Bearer sk-of-our-own-1234567890"
    assert all(b"sk-of-our-own" not in each.read_bytes() for each in Path("w").rglob("*") if each.is_file())


# --- which requests -----------------------------------------------------------------------------------------------------------


def test_what_must_not_be_asked_twice_is_left_out_and_named(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    stateful = exchange(0, "x", previous_response_id="resp_1")
    place = capture(tmp_path / "j", [(stateful, (), ""), (exchange(1, "x"), (), "")])
    run("replay", place, "-c", configured(tmp_path, arm.url))
    assert arm.questions == {question(1): 1}
    assert "1 requests of the capture were not asked: stateful" in capsys.readouterr().out


def test_routes_are_those_of_the_present_configuration(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    routes = [{"name": "triage", "path": "/v1/chat/*"}]
    config = configured(tmp_path, arm.url, routes=routes)
    run("replay", captured(tmp_path / "j", 30), "-c", config, "--json", "--route", "triage")
    assert {each["route"] for each in verdict(capsys)["gates"]} == {"triage"}  # type: ignore[attr-defined]
    assert len(arm.asked) == 30


def test_a_path_that_no_route_has_is_not_asked(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(tmp_path, arm.url, routes=[{"name": "rerank", "path": "/v1/rerank"}])
    assert run("replay", captured(tmp_path / "j", 3), "-c", config) == 2
    assert "3 not_inference" in capsys.readouterr().err


def test_a_capture_without_a_request_that_can_be_asked_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = capture(tmp_path / "j", [(exchange(0, "x", conversation="c"), (), "")])
    assert run("replay", place, "-c", configured(tmp_path)) == 2
    assert "holds no request that can be asked (1 stateful)" in capsys.readouterr().err


def test_a_sample_takes_whole_sessions_and_the_same_each_time(tmp_path: Path, arm: Arm) -> None:
    place = captured(tmp_path / "j", 200, per_session=4)
    config = configured(tmp_path, arm.url)
    run("replay", place, "-c", config, "--sample", "30", "--work", "one")
    first = arm.questions
    arm.asked.clear()
    run("replay", place, "-c", config, "--sample", "30", "--work", "two")
    assert arm.questions == first
    chosen = {number for number in range(200) if question(number) in first}
    assert 20 < len(chosen) < 110
    assert all({start, start + 1, start + 2, start + 3} <= chosen for start in range(0, 200, 4) if start in chosen)


def test_a_limit_takes_the_first_ones(tmp_path: Path, arm: Arm) -> None:
    run("replay", captured(tmp_path / "j", 50), "-c", configured(tmp_path, arm.url), "--limit", "5")
    assert set(arm.questions) == {question(number) for number in range(5)}


def test_sessions_of_the_capture_are_one_observation_each(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    run("replay", captured(tmp_path / "j", 120, per_session=4), "-c", configured(tmp_path, arm.url), "--json")
    assert gates(verdict(capsys))["error"][0] == 30


# --- what is kept -------------------------------------------------------------------------------------------------------------


def test_what_is_kept_is_redacted_and_pseudonyms_of_the_capture_stay(tmp_path: Path, arm: Arm) -> None:
    with_address = exchange(0, "Write to ada.lovelace@engines.org.", words="Who is ada.lovelace@engines.org?")
    place = capture(tmp_path / "j", [(with_address, (), "")], bodies=True)
    (record,) = read(str(place))
    pseudonym = json.loads(record.body.text)["messages"][-1]["content"].removeprefix("Who is ").removesuffix("?")
    assert pseudonym != "ada.lovelace@engines.org"
    arm.answer = lambda _: f"It is {pseudonym}, a colleague of grace.hopper@navy.org."
    run("replay", place, "-c", configured(tmp_path, arm.url), "--work", "w")
    (kept,) = answers(Path("w"))
    said = json.loads(kept.arm.body.text)["choices"][0]["message"]["content"]
    assert pseudonym in said, "what the capture names already keeps its name"
    assert "navy.org" not in said
    assert said.endswith(".example.")
    assert (Path("w") / "key").stat().st_mode & 0o077 == 0, "whoever reads it can try values"


def answers(folder: Path) -> list[AnswerLine]:
    import msgspec

    from shadowproxy.journal.reader import lines_of

    decoder = msgspec.json.Decoder(AnswerLine)
    return [
        decoder.decode(line)
        for path in sorted((folder / "answers").iterdir())
        for _, line in lines_of(str(path), None, lambda damage: pytest.fail(str(damage)))
    ]


def test_the_same_command_again_asks_nobody_and_says_the_same(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    place, config = captured(tmp_path / "j", 60), configured(tmp_path, arm.url)
    first_code = run("replay", place, "-c", config, "--json")
    first = verdict(capsys)
    arm.asked.clear()
    assert run("replay", place, "-c", config, "--json") == first_code
    assert timeless(verdict(capsys)) == timeless(first)
    assert not arm.asked


def test_another_margin_is_judged_anew_without_asking(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    arm.refuse = lambda number, _: (500, {}, "no") if number % 2 else None
    place = captured(tmp_path / "j", 200)
    assert run("replay", place, "-c", configured(tmp_path, arm.url), "--json") == 4
    arm.asked.clear()
    loose = {"ttft": {"enabled": False}, "error": {"margin": 0.9}, "refusal": {"enabled": False}, "facts": {"enabled": False}}
    capsys.readouterr()
    run("replay", place, "-c", configured(tmp_path, arm.url, gates=loose), "--json")
    assert verdict(capsys)["state"] != "rollback"
    assert not arm.asked


def test_another_model_is_asked_and_the_rest_is_kept(tmp_path: Path, arm: Arm) -> None:
    with Arm() as other:
        place, config = captured(tmp_path / "j", 20), configured(tmp_path)
        tree = yaml.safe_load(config.read_text())
        for v3 in ({"model": "one"}, {"model": "two"}):
            tree["candidates"] = [{"name": "v2", "url": arm.url}, {"name": "v3", "url": other.url, **v3}]
            config.write_text(yaml.safe_dump(tree))
            run("replay", place, "-c", config)
        assert (len(arm.asked), len(other.asked)) == (20, 40)


def test_another_rule_of_comparison_compares_anew_without_asking(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    arm.answer = lambda words: says(words) + " ticket-4711"
    place = capture(tmp_path / "j", ((exchange(number, says(question(number)) + " ticket-1234"), (), "") for number in range(40)))
    run("replay", place, "-c", configured(tmp_path, arm.url), "--work", "w")
    arm.asked.clear()
    before = json.loads(Path("w/replay.json").read_bytes())
    rules = {"languages": False, "rules": [{"name": "tickets", "path": "text", "pattern": "ticket-[0-9]{4,8}"}]}
    run("replay", place, "-c", configured(tmp_path, arm.url, compare=rules), "--work", "w", "--report", "r.html")
    assert not arm.asked
    assert json.loads(Path("w/replay.json").read_bytes())["by"] != before["by"]
    assert "tickets" in Path("r.html").read_text(), "the report tells what the rule took out"


def test_what_two_captures_share_is_asked_once(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(tmp_path, arm.url)
    run("replay", captured(tmp_path / "a", 5), "-c", config, "--work", "w")
    run("replay", captured(tmp_path / "b", 8), "-c", config, "--work", "w", "--json")
    assert arm.questions == {question(number): 1 for number in range(8)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--shard", "3/2"), "'3/2' is not a share"),
        (("--speed", "0"), "is not a number above 0"),
        (("--concurrency", "none"), "is not a whole number"),
        (("--rate", "v2=fast"), "is not a number above 0"),
        (("--sample", "101"), "more than 100 percent"),
        (("--rate", "v9=3"), "--rate: v9 is no arm of this configuration"),
        (("--report", "r.pdf"), "end it in one of"),
    ],
)
def test_bad_arguments_are_named(tmp_path: Path, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("replay", captured(tmp_path / "j", 2), "-c", configured(tmp_path), *arguments) == 2
    assert said in capsys.readouterr().err


def test_a_configuration_without_candidates_has_nothing_to_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text("{}")
    assert run("replay", captured(tmp_path / "j", 2), "-c", tmp_path / "c.yaml") == 2
    assert "candidates: is missing" in capsys.readouterr().err
