"""Commits on a real repository: what they hold, what they leave, and who wins a race."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import pytest

from shadowproxy.errors import RouterBusy, RouterRefused
from shadowproxy.promote.phases import Order, Phase
from shadowproxy.promote.routers.edits import Edits, WeightEdits
from shadowproxy.promote.routers.git import GitRouter
from shadowproxy.promote.routers.manifest import Place
from tests.promote.steering import STEP_S, Bench
from tests.promote.worlds import MANIFEST, WEIGHTS, World, git, git_world, manifest_of, repository


def router(bare: Path, edits: Edits = WEIGHTS, branch: str = "main", base: str = "", file: str = "apps/chat.yaml") -> GitRouter:
    return GitRouter(str(bare), branch, file, ".shadowproxy/v2.json", edits, bare.parent / "mirror.git", base=base)


def bench_on(bare: Path, **options: object) -> Bench:
    def connect() -> tuple[GitRouter, None]:
        return router(bare, **options), None  # type: ignore[arg-type]

    return Bench(World("git", connect, lambda: 0.0, lambda _: None, lambda: None))


async def test_promotion_changes_the_weights_in_the_file_and_keeps_every_comment(tmp_path: Path) -> None:
    async with git_world("git weights", tmp_path) as world:
        bench = Bench(world)
        await bench.go_to(100)
        bare = tmp_path / "origin.git"
        assert manifest_of(bare) == MANIFEST.replace("weight: 100 ", "weight: 0 ").replace('weight: "0"', 'weight: "100"')
        await bench.look("rollback")
        assert manifest_of(bare) == MANIFEST


async def test_commit_says_why_and_holds_the_verdict(tmp_path: Path) -> None:
    bare = repository(tmp_path)
    bench = bench_on(bare)
    bench.document["reasons"] = [{"code": "within_margins"}]
    await bench.look("hold")
    await bench.look("promote")
    message = git(bare, "log", "-1", "--format=%an%n%B", "main")
    assert message.startswith("shadowproxy\nv2: canary, 1 %\n\nthe verdict is promote: step 1 of 5, 1 %\n\nRollout: v2-0001")
    record = msgspec.json.decode(git(bare, "show", "main:.shadowproxy/v2.json"))
    assert record["verdict"]["state"] == "promote"
    assert record["verdict"]["reasons"] == [{"code": "within_margins"}]
    assert record["rollout"]["percent"] == 1
    assert git(bare, "diff", "--name-only", "main~1", "main").split() == [".shadowproxy/v2.json", "apps/chat.yaml"]


async def test_begins_a_branch_of_its_own_and_leaves_the_base(tmp_path: Path) -> None:
    bare = repository(tmp_path)
    bench = bench_on(bare, branch="rollouts/v2", base="main")
    await bench.look("hold")
    await bench.look("promote")
    assert 'weight: "1"' in manifest_of(bare, "rollouts/v2")
    assert manifest_of(bare) == MANIFEST
    await bench.look("promote", STEP_S)
    assert 'weight: "5"' in manifest_of(bare, "rollouts/v2")


async def test_nobodys_working_tree_is_touched(tmp_path: Path) -> None:
    bare = repository(tmp_path)
    (tmp_path / "work/apps/chat.yaml").write_text("edited, not committed")
    git(tmp_path / "work", "checkout", "--quiet", "-b", "mine")
    bench = bench_on(tmp_path / "work", branch="main")
    await bench.look("hold")
    await bench.look("promote")
    assert (tmp_path / "work/apps/chat.yaml").read_text() == "edited, not committed"
    assert 'weight: "1"' in manifest_of(tmp_path / "work")
    assert manifest_of(bare) == MANIFEST, "pushed where it was told to, nowhere else"


async def test_branch_that_is_checked_out_is_refused_with_the_remedy(tmp_path: Path) -> None:
    repository(tmp_path)
    bench = bench_on(tmp_path / "work")
    await bench.controller.look()
    assert "refuses a push" in bench.controller.standing.problem


async def test_somebody_elses_commit_is_kept_and_decided_on(tmp_path: Path) -> None:
    bare = repository(tmp_path)
    bench = bench_on(bare)
    await bench.look("hold")
    one = router(bare)
    present = await one.read()
    work = tmp_path / "work"
    git(work, "pull", "--quiet", "origin", "main")
    (work / "README").write_text("hello")
    git(work, "add", ".")
    git(work, "commit", "--quiet", "-m", "Unrelated")
    git(work, "push", "--quiet", "origin", "main")
    assert present.is_at(0)
    await bench.look("promote")
    assert git(bare, "show", "main:README") == "hello"
    assert 'weight: "1"' in manifest_of(bare)


async def test_dry_run_shows_a_patch_that_git_applies(tmp_path: Path) -> None:
    bare = repository(tmp_path)
    bench = bench_on(bare)
    bench.start(dry_run=True)
    bench.judge("promote")
    await bench.controller.look()
    heading, _, patch = bench.shown[0].partition("\n")
    assert heading.startswith("# v2-0001: canary, 1 %")
    git(tmp_path / "work", "apply", "-", given=patch)
    assert 'weight: "1"' in (tmp_path / "work/apps/chat.yaml").read_text()
    assert (tmp_path / "work/.shadowproxy/v2.json").exists()


async def test_version_cannot_be_given_to_a_part(tmp_path: Path) -> None:
    async with git_world("git versions", tmp_path) as world:
        world.steps = (50, 100)
        bench = Bench(world)
        await bench.look("hold")
        bench.judge("promote")
        await bench.controller.look()
        assert "use steps: [100]" in bench.controller.standing.problem
        assert world.percent() == 0


async def test_version_that_was_there_before_any_rollout_is_not_taken_out_by_guess(tmp_path: Path) -> None:
    async with git_world("git versions", tmp_path) as world:
        world.meddle(100)
        work = tmp_path / "work"
        text = (work / "apps/chat.yaml").read_text().replace("registry.example.com/chat:v1", "chat:v2")
        (work / "apps/chat.yaml").write_text(text)
        git(work, "commit", "--quiet", "-a", "-m", "By hand")
        git(work, "push", "--quiet", "origin", "main")
        bench = Bench(world)
        assert (await bench.look("promote")).phase is Phase.HELD
        with pytest.raises(RouterRefused, match="is not known; write the former version there by hand"):
            await bench.controller.order(Order.ABORT)


async def test_one_weight_that_is_a_percentage(tmp_path: Path) -> None:
    bare = repository(tmp_path, "spec:\n  predictor:\n    canaryTrafficPercent: 0  # steered\n")
    bench = bench_on(bare, edits=WeightEdits(Place("/spec/predictor/canaryTrafficPercent")))
    await bench.look("hold")
    await bench.look("promote")
    assert manifest_of(bare) == "spec:\n  predictor:\n    canaryTrafficPercent: 1  # steered\n"


async def test_file_that_is_not_utf8_is_refused_and_left(tmp_path: Path) -> None:
    bare = repository(tmp_path)
    work = tmp_path / "work"
    (work / "apps/chat.yaml").write_bytes(b"a: \xff\n")
    git(work, "commit", "--quiet", "-a", "-m", "Odd")
    git(work, "push", "--quiet", "origin", "main")
    with pytest.raises(RouterRefused, match="no YAML"):
        await router(bare).read()


async def test_missing_places_are_named(tmp_path: Path) -> None:
    bare = repository(tmp_path)
    with pytest.raises(RouterRefused, match="no branch nowhere"):
        await router(bare, branch="nowhere").read()
    with pytest.raises(RouterRefused, match=r"apps/other\.yaml"):
        await router(bare, file="apps/other.yaml").read()
    with pytest.raises(RouterBusy, match="cannot be read"):
        await router(tmp_path / "none.git").read()


async def test_hook_that_says_no_is_refused(tmp_path: Path) -> None:
    bare = repository(tmp_path)
    hook = bare / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'two approvals are needed' >&2\nexit 1\n")
    hook.chmod(0o755)
    bench = bench_on(bare)
    await bench.controller.look()
    assert "refuses a push to main" in bench.controller.standing.problem
    assert "two approvals are needed" in bench.controller.standing.problem
    assert subprocess.run(["git", "rev-list", "--count", "main"], cwd=bare, capture_output=True, text=True, check=True).stdout == "1\n"
