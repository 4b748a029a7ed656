"""Public data sets as pairs of texts, for ``scripts/quality.py`` and ``scripts/train_facts.py``. They are not part of this repository.

``--data`` names the folder that holds them: ``pairs/summedits/summedits_<domain>.json.gz`` and so on, as published.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Labelled:
    """Two texts about the same thing, and whether they say something different of it. ``group`` is shared by all made from one original."""

    primary: str
    other: str
    is_changed: bool
    group: str = ""


def read(path: Path) -> str:
    """The text of a file, gzipped or not."""
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")


def files(folder: Path, pattern: str) -> list[Path]:
    """What matches, sorted. Raises ``FileNotFoundError`` where nothing does."""
    found = sorted(folder.glob(pattern))
    if not found:
        raise FileNotFoundError(f"{folder / pattern} is not there")
    return found


def rows(path: Path, delimiter: str = "\t", *, has_quotes: bool = False) -> list[dict[str, str]]:
    quoting = csv.QUOTE_MINIMAL if has_quotes else csv.QUOTE_NONE
    return list(csv.DictReader(io.StringIO(read(path)), delimiter=delimiter, quoting=quoting))


def summedits_domains(data: Path) -> list[str]:
    return [path.name.removeprefix("summedits_").split(".")[0] for path in files(data / "pairs" / "summedits", "summedits_*.json*")]


def summedits(data: Path, domain: str) -> dict[str, list[Labelled]]:
    """SummEdits (Laban et al. 2023), by kind of pair.

    ``direct``: an original summary against an edited one, whose label says whether the edit is still consistent with the document.
    ``cross``: a consistent edit against another edit of the same original; it is changed where the other one is not consistent.
    """
    path = files(data / "pairs" / "summedits", f"summedits_{domain}.json*")[0]
    edited: dict[str, list[dict[str, Any]]] = {}
    for row in json.loads(read(path)):
        if row["summary"] != row["original_summary"]:
            edited.setdefault(row["original_summary"], []).append(row)
    direct = [Labelled(original, row["summary"], not row["label"], original) for original, group in edited.items() for row in group]
    return {"direct": direct, "cross": list(_cross(edited))}


def _cross(edited: dict[str, list[dict[str, Any]]]) -> Iterator[Labelled]:
    for original, group in edited.items():
        paraphrases = [row["summary"] for row in group if row["label"]]
        for a, b in combinations(paraphrases, 2):
            if a != b:
                yield Labelled(a, b, False, original)
        for a in paraphrases:
            for row in group:
                if not row["label"]:
                    yield Labelled(a, row["summary"], True, original)


def negations(data: Path) -> dict[str, list[tuple[str, str]]]:
    """Sentences and their contrary: the CANNOT corpus (three of its sources), and what GLUE's diagnostics mark as a contradiction by
    negation or antonymy."""
    folder = data / "pairs" / "negation_cannot"
    found = {
        f"cannot:{path.name.split('.')[0]}": [(row["sentence"], row["negated"]) for row in rows(path) if row["sentence"] != row["negated"]]
        for path in files(folder, "*.tsv.gz")
    }
    found["glue:negation, antonymy"] = [
        (row["Premise"], row["Hypothesis"])
        for row in rows(data / "pairs" / "glue_diagnostic" / "diagnostic-full.tsv.gz")
        if row["Label"] == "contradiction" and ("egation" in row["Logic"] or "ntonymy" in row["Lexical Semantics"])
    ]
    return found


def sts(data: Path) -> dict[str, list[tuple[float, str, str]]]:
    """Semantic textual similarity 2012-16: people's score 0..5 and the two sentences, by set."""
    found: dict[str, list[tuple[float, str, str]]] = {}
    for path in files(data / "pairs" / "sts", "*.tsv.gz"):
        lines = (line.split("\t") for line in read(path).split("\n"))
        found[path.name.split(".test")[0]] = [
            (float(fields[0]), fields[1], fields[2]) for fields in lines if len(fields) >= 3 and fields[0]
        ]
    return found


def alpaca_eval(data: Path, model: str) -> list[str]:
    """What ``model`` answered to the prompts of alpaca_eval, in their order."""
    return [row["output"] for row in json.loads(read(data / "responses" / "alpaca_eval" / "outputs" / f"{model}.json.gz"))]


def creative(data: Path) -> list[list[str]]:
    """Ten samples of one model at temperature 1, for each of a hundred prompts."""
    path = files(data / "responses" / "tot_creative_writing", "*standard_sample*")[0]
    return [row["ys"] for row in json.loads(read(path))]


def xstest(data: Path) -> list[tuple[str, str]]:
    """Answers of two models, and people's label of each."""
    folder = data / "refusals" / "xstest"
    return [
        (row["completion"], row["final_label"])
        for path in files(folder, "*completions*.csv.gz")
        for row in rows(path, ",", has_quotes=True)
    ]


def tool_calls(data: Path, model: str) -> dict[str, list[tuple[str, str]]]:
    """The calls of ``model`` (name, arguments as JSON text) by category and number of the prompt. Answers without calls are left out."""
    found = {}
    for path in files(data / "toolcalls" / "bfcl", f"*/{model}/*.result.jsonl.gz"):
        category = path.name.split(".")[0]
        for row in map(json.loads, read(path).splitlines()):
            if isinstance(row["result"], list):
                found[f"{category} {row['idx']}"] = [(name, sent) for call in row["result"] for name, sent in call.items()]
    return found
