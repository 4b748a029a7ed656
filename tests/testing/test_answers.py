"""What ships in recordings/: complete, readable, and with the differences between variants that the other tests rely on."""

from __future__ import annotations

import gzip
import itertools
import re
import statistics
from pathlib import Path

import pytest

from shadowproxy.errors import StartError
from shadowproxy.testing.answers import ANSWERS, FOLDER, PROMPTS, Draw, Recordings, improvise, load, normalised

DRAWS = {"primary": 8, "equal": 8, "better": 4, "hot": 4, "terse": 4, "offtopic": 4, "truncated": 4, "refusing": 4}


@pytest.fixture(scope="module")
def recordings() -> Recordings:
    return load()


def overlap(one: Draw, other: Draw) -> float:
    """Words in common over words in either, counted as sets."""
    a, b = (set(re.findall(r"\w+", draw.text.lower())) for draw in (one, other))
    return len(a & b) / len(a | b) if a | b else 1.0


def mean_overlap(recordings: Recordings, variant: str) -> float:
    """How much the answers of ``variant`` share with the primary's, mean over prompts; for ``primary``: two draws of its own."""
    means = []
    for prompt in recordings.prompts:
        primary = recordings.draws(prompt.id, "primary")
        if variant == "primary":
            pairs = itertools.combinations(primary, 2)
        else:
            pairs = itertools.product(primary, recordings.draws(prompt.id, variant))
        means.append(statistics.mean(itertools.starmap(overlap, pairs)))
    return statistics.mean(means)


def test_every_prompt_has_every_draw_of_every_variant(recordings: Recordings) -> None:
    assert recordings.variants == tuple(sorted(DRAWS))
    for prompt in recordings.prompts:
        for variant, draws in DRAWS.items():
            assert len(recordings.draws(prompt.id, variant)) == draws, (prompt.id, variant)


def test_prompts_are_distinct(recordings: Recordings) -> None:
    assert 40 <= len(recordings.prompts) <= 60
    assert len({prompt.id for prompt in recordings.prompts}) == len(recordings.prompts)
    assert len({normalised(prompt.user) for prompt in recordings.prompts}) == len(recordings.prompts)


def test_draws_have_text_timing_and_usage(recordings: Recordings) -> None:
    for prompt in recordings.prompts:
        for draw in recordings.draws(prompt.id, "primary"):
            assert draw.text.strip()
            assert draw.finish_reason in ("stop", "length")
            assert draw.pieces[0].gap_s > 0
            assert all(piece.gap_s >= 0 and piece.text for piece in draw.pieces)
            assert 0 < draw.completion_tokens <= prompt.max_tokens
            assert draw.prompt_tokens > 0


def test_primary_is_noisy_and_equal_is_no_copy_of_it(recordings: Recordings) -> None:
    varied = [prompt.id for prompt in recordings.prompts if len({draw.text for draw in recordings.draws(prompt.id, "primary")}) > 1]
    assert len(varied) > 0.8 * len(recordings.prompts)
    assert 0.4 < mean_overlap(recordings, "primary") < 0.95


def test_good_variants_are_as_near_to_the_primary_as_it_is_to_itself(recordings: Recordings) -> None:
    noise_floor = mean_overlap(recordings, "primary")
    assert mean_overlap(recordings, "equal") == pytest.approx(noise_floor, abs=0.03)
    assert mean_overlap(recordings, "better") > noise_floor - 0.03


@pytest.mark.parametrize("variant", ["hot", "terse", "offtopic", "truncated", "refusing"])
def test_bad_variants_are_far_from_the_primary(recordings: Recordings, variant: str) -> None:
    assert mean_overlap(recordings, variant) < mean_overlap(recordings, "primary") - 0.1


def test_equal_took_the_same_time_as_the_primary(recordings: Recordings) -> None:
    """Recorded interleaved: a slow minute of the machine must not make one of the two the slower arm."""

    def means(variant: str) -> tuple[float, float]:
        draws = [draw for prompt in recordings.prompts for draw in recordings.draws(prompt.id, variant)]
        gaps = [piece.gap_s for draw in draws for piece in draw.pieces[1:]]
        return statistics.mean(draw.pieces[0].gap_s for draw in draws), statistics.mean(gaps)

    assert means("equal") == pytest.approx(means("primary"), rel=0.1)


def test_truncated_answers_are_cut_by_length(recordings: Recordings) -> None:
    draws = [draw for prompt in recordings.prompts for draw in recordings.draws(prompt.id, "truncated")]
    assert all(draw.completion_tokens <= 12 for draw in draws)
    assert sum(draw.finish_reason == "length" for draw in draws) > 0.8 * len(draws)


def test_refusing_answers_refuse(recordings: Recordings) -> None:
    draws = [draw for prompt in recordings.prompts for draw in recordings.draws(prompt.id, "refusing")]
    assert sum("can't help" in draw.text for draw in draws) > 0.9 * len(draws)


def test_prompt_is_found_whatever_its_case_and_spacing(recordings: Recordings) -> None:
    prompt = recordings.prompts[0]
    assert recordings.find(f"  {prompt.user.upper()}\n") is prompt
    assert recordings.find(f"{prompt.user} indeed") is None


def test_recordings_name_their_origin_and_licence_and_stay_small(recordings: Recordings) -> None:
    assert recordings.origin["licence"] == "Apache-2.0"
    assert "SmolLM2" in recordings.origin["model"]
    assert set(recordings.origin["variants"]) == set(DRAWS)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_500_000


def test_readme_of_the_recordings_explains_every_variant() -> None:
    table = re.findall(r"^\| `(\w+)` \|", (FOLDER / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert set(table) >= set(DRAWS)


def test_improvised_answer_depends_on_the_prompt_alone() -> None:
    assert improvise("What is new?") == improvise("  what is NEW? ")
    assert improvise("What is new?").text != improvise("What is old?").text
    assert improvise("What is new?").text.endswith(".")


def test_missing_or_damaged_recordings_are_a_start_error(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="cannot be read"):
        load(tmp_path / "missing.gz", PROMPTS)
    for damaged in (b"not gzip", ANSWERS.read_bytes()[:1000], gzip.compress(b""), gzip.compress(b'{"origin": 1}\n{"draw": "x"}\n')):
        path = tmp_path / "damaged.gz"
        path.write_bytes(damaged)
        with pytest.raises(StartError, match="cannot be read"):
            load(path, PROMPTS)
