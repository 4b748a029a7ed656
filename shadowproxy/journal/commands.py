"""``shadowproxy journal show · stats · export · import``. ``cli`` adds them with :func:`add_commands`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import msgspec
import orjson
from rich.console import Console

from shadowproxy.config import Journal
from shadowproxy.errors import InputError
from shadowproxy.journal import importing, parquet, statistics
from shadowproxy.journal.importers.formats import FORMATS
from shadowproxy.journal.places import is_url, open_binary
from shadowproxy.journal.reader import Damage, read, segments_at
from shadowproxy.journal.records import Record
from shadowproxy.journal.sealing import unsealer
from shadowproxy.journal.showing import shown

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - argparse has no public name for it

#: Damages that are named one by one; the rest is only counted.
_NAMED = 20


def add_commands(commands: Commands) -> None:
    """Add ``journal`` with its own commands."""
    journal = commands.add_parser("journal", help="look into journals of captured traffic, export them, import others' captures")
    inner = journal.add_subparsers(required=True, metavar="COMMAND")
    _add_show(inner)
    _add_stats(inner)
    _add_export(inner)
    _add_import(inner)


def _add_show(commands: Commands) -> None:
    show = commands.add_parser("show", help="print records")
    _add_journal(show)
    show.add_argument("--id", help="only the record with this id")
    show.add_argument("--arm", help="only records with this arm")
    show.add_argument("--route", help="only this route")
    show.add_argument("-n", "--limit", type=int, default=10, metavar="N", help="at most so many (default: 10; 0: all)")
    show.add_argument("--chars", type=int, default=600, metavar="N", help="characters of each text (default: 600)")
    show.add_argument("--json", action="store_true", help="records as JSON lines, whole")
    show.set_defaults(run=_show)


def _add_stats(commands: Commands) -> None:
    stats = commands.add_parser("stats", help="count what is in a journal")
    _add_journal(stats)
    stats.set_defaults(run=_stats)


def _add_export(commands: Commands) -> None:
    export = commands.add_parser("export", help="write a journal as Parquet or JSON lines")
    _add_journal(export)
    where = export.add_mutually_exclusive_group(required=True)
    where.add_argument("--parquet", metavar="FILE", help="one row an exchange; a path or URL (extra: parquet)")
    where.add_argument("--jsonl", metavar="FILE", help="one line a record; a path or URL")
    export.set_defaults(run=_export)


def _add_import(commands: Commands) -> None:
    import_ = commands.add_parser("import", help="write others' captures as a journal")
    import_.add_argument("files", nargs="+", metavar="FILE", help="files of one format; of a batch the requests and the results")
    import_.add_argument("--to", required=True, metavar="FOLDER", help="folder for the journal")
    import_.add_argument(
        "--format", default="", choices=("", *FORMATS), metavar="FORMAT", help=f"{', '.join(FORMATS)} (default: found out)"
    )
    import_.add_argument("-c", "--config", type=Path, metavar="FILE", help="configuration, YAML; its section journal says what is redacted")
    import_.set_defaults(run=_import)


def _add_journal(command: argparse.ArgumentParser) -> None:
    command.add_argument("journal", metavar="JOURNAL", help="folder, segment, or URL of either")
    command.add_argument("--identity", type=Path, action="append", default=[], metavar="FILE", help="identity of age that opens it")


# --- running --------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Damages:
    """Names damage on standard error, and counts it."""

    torn: int = 0
    count: int = 0

    def __call__(self, damage: Damage) -> None:
        if damage.is_torn_end:
            self.torn += 1
            return
        self.count += 1
        if self.count <= _NAMED:
            print(damage, file=sys.stderr)

    @property
    def code(self) -> int:
        """1 where something was passed over. A torn end is how a killed writer leaves a journal, and no error."""
        if self.count > _NAMED:
            print(f"{self.count - _NAMED} more damaged places", file=sys.stderr)
        return 1 if self.count else 0


def _records(options: argparse.Namespace, damages: _Damages) -> Iterator[Record]:
    return read(options.journal, unseal=unsealer(options.identity), on_damage=damages)


def _show(options: argparse.Namespace) -> int:
    damages = _Damages()
    wanted = filter(_wanted(options), _records(options, damages))
    console = Console(highlight=False)
    for record in islice(wanted, options.limit or None):
        if options.json:
            sys.stdout.write(msgspec.json.encode(record).decode() + "\n")
        else:
            console.print(shown(record, options.chars))
    return damages.code


def _wanted(options: argparse.Namespace) -> Callable[[Record], bool]:
    def is_wanted(record: Record) -> bool:
        return (
            (options.id is None or record.id == options.id)
            and (options.route is None or record.route == options.route)
            and (options.arm is None or any(arm.arm == options.arm for arm in record.arms))
        )

    return is_wanted


def _stats(options: argparse.Namespace) -> int:
    damages = _Damages()
    counted = statistics.statistics_of(_records(options, damages)).as_document()
    document = {"segments": len(segments_at(options.journal)), **counted, "torn_ends": damages.torn, "damaged_places": damages.count}
    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
    return damages.code


def _export(options: argparse.Namespace) -> int:
    damages = _Damages()
    records = _records(options, damages)
    if options.parquet is not None:
        print(f"{options.parquet}: {parquet.export(records, options.parquet)} exchanges")
    else:
        print(f"{options.jsonl}: {_export_lines(records, options.jsonl)} records")
    return damages.code


def _export_lines(records: Iterator[Record], place: str) -> int:
    written = 0
    with open_binary(place, "wb") as file:
        for record in records:
            file.write(msgspec.json.encode(record) + b"\n")
            written += 1
    return written


def _import(options: argparse.Namespace) -> int:
    if is_url(options.to):
        raise InputError(f"{options.to}: is a URL; import into a folder, and copy it")
    imported = importing.run(options.files, _section(options), Path(options.to), options.format)
    _sum_up(imported, options.to)
    return 1 if imported.left_out or imported.lost else 0


def _section(options: argparse.Namespace) -> Journal:
    """The section ``journal`` of the configuration, for this folder."""
    if options.config is None:
        return Journal(to=options.to)
    from shadowproxy import config

    section = config.load_offline(options.config).journal
    return Journal(to=options.to) if section is None else section.model_copy(update={"to": options.to})


def _sum_up(imported: importing.Imported, folder: str) -> None:
    answered = f", {imported.without_answer} of them without an answer" if imported.without_answer else ""
    print(f"{folder}: {imported.exchanges} exchanges from {imported.format}{answered}")
    if imported.lost:
        print(f"{imported.lost} could not be written", file=sys.stderr)
    for reason, count in imported.left_out.most_common():
        named = imported.places[reason]
        more = f" and {count - len(named)} more" if count > len(named) else ""
        print(f"left out, {reason}: {count} ({'; '.join(named)}{more})", file=sys.stderr)
