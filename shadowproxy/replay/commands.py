"""``shadowproxy replay SOURCE`` and ``shadowproxy replay merge``. ``cli`` adds them with :func:`add_commands`."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from rich.console import Console

from shadowproxy import config
from shadowproxy.errors import InputError
from shadowproxy.exchange import PRIMARY
from shadowproxy.journal.importers.formats import FORMATS
from shadowproxy.replay.catalogue import Choice
from shadowproxy.replay.command import Request, replay, stop_in_words
from shadowproxy.replay.lanes import Patience
from shadowproxy.replay.merging import merge
from shadowproxy.replay.outcome import Outlet, Wanted
from shadowproxy.replay.oversight import interrupted
from shadowproxy.replay.pace import CONCURRENCY, ClosedLoop, Pace, Timed
from shadowproxy.replay.work import Share
from shadowproxy.report.writing import kinds_of
from shadowproxy.trackers.destinations import destinations_of
from shadowproxy.trackers.options import add_track
from shadowproxy.trackers.record import Source

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - argparse has no public name for it

#: A run that was stopped: what a shell reports of a program that Ctrl-C ended.
_STOPPED = 130

#: How records of it name what was typed.
_COMMAND = "shadowproxy replay"

#: What ``replay merge`` is called among the commands: argparse cannot tell a word from a path.
MERGE = "replay-merge"


def add_commands(commands: Commands) -> None:
    """Add ``replay`` and ``replay merge``."""
    _add_replay(commands)
    _add_merge(commands)


def with_merge(arguments: Sequence[str]) -> list[str]:
    """``replay merge`` as the one word it is among the commands."""
    return [MERGE, *arguments[2:]] if list(arguments[:2]) == ["replay", "merge"] else list(arguments)


def _add_replay(commands: Commands) -> None:
    replay_ = commands.add_parser(
        "replay",
        help="ask candidates what was captured and judge them: exit code 0 promote, 3 hold, 4 rollback, 2 bad input, 130 stopped",
    )
    replay_.add_argument("source", metavar="SOURCE", help="a journal (folder, segment or URL), or a capture in another format")
    replay_.add_argument("--work", type=Path, metavar="FOLDER", help="where answers are kept (default: replay-… here, by source and share)")
    pace = replay_.add_mutually_exclusive_group()
    pace.add_argument(
        "--speed", type=_positive, metavar="X", help="send at the captured distances, X times as fast; 1 is the original pace"
    )
    pace.add_argument("--concurrency", type=_whole, metavar="N", help=f"keep N requests in flight (default: {CONCURRENCY})")
    replay_.add_argument(
        "--rate", action="append", default=[], type=_rate, metavar="[ARM=]PER_S", help="at most so many a second; repeatable"
    )
    replay_.add_argument(
        "--tries", type=_whole, default=Patience().tries, metavar="N", help="of a request while an arm is busy (default: 6)"
    )
    taken = replay_.add_mutually_exclusive_group()
    taken.add_argument(
        "--recorded", action="append", default=[], metavar="ARM", help="take the captured answers of this arm, too; repeatable"
    )
    taken.add_argument("--fresh", action="store_true", help="ask the primary, too, instead of taking its captured answers")
    replay_.add_argument("--again-failed", action="store_true", help="ask again what failed in an earlier run: its cause is mended")
    replay_.add_argument("--route", action="append", default=[], metavar="NAME", help="only requests of this route; repeatable")
    replay_.add_argument(
        "--sample", type=_percent, default=100.0, metavar="PERCENT", help="only this share, whole sessions, the same each time"
    )
    replay_.add_argument("--limit", type=_whole, default=0, metavar="N", help="only the first N requests")
    replay_.add_argument("--shard", type=_share, metavar="I/N", help="only every N-th request from the I-th on; then merge")
    replay_.add_argument(
        "--workers",
        type=_count,
        default=_cores(),
        metavar="N",
        help="processes that compare (default: one for each core; 0: a thread of this one)",
    )
    replay_.add_argument(
        "--engine", default="local", choices=("local", "ray"), help="ray: divide it over workers of Ray (extra: ray), then merge"
    )
    replay_.add_argument("--shards", type=_whole, metavar="N", help="with --engine ray: into so many (default: one for each core here)")
    replay_.add_argument(
        "--ray-address", default="", metavar="ADDRESS", help="of a Ray cluster, or auto (default: a Ray of its own on this machine)"
    )
    replay_.add_argument("--format", default="", choices=("", *FORMATS), metavar="FORMAT", help=f"of a capture: {', '.join(FORMATS)}")
    _add_common(replay_)
    replay_.set_defaults(run=_replay)


def _add_merge(commands: Commands) -> None:
    merge_ = commands.add_parser(MERGE, help="(replay merge) judge the work folders of all shards as one")
    merge_.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="work folders of all shards, in any order")
    _add_common(merge_)
    merge_.set_defaults(run=_merge)


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("-c", "--config", type=Path, required=True, metavar="FILE", help="configuration, YAML")
    command.add_argument("--identity", type=Path, action="append", default=[], metavar="FILE", help="key that opens an encrypted journal")
    command.add_argument("--json", action="store_true", help="print the verdict document instead of a table")
    command.add_argument(
        "--report",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="write a report: .html, .md, .xml (JUnit) or .json; repeatable",
    )
    add_track(command)
    command.add_argument(
        "--outputs", type=Path, metavar="FOLDER", help="write verdict, exit-code and reasons as files, for output parameters of pipelines"
    )
    command.add_argument("--raw", action="store_true", help="show texts as they are kept, without masking")


def _replay(options: argparse.Namespace) -> int:
    wanted = _wanted(options)
    settings = config.load_offline(options.config)
    console = Console(stderr=True, highlight=False)
    request = Request(
        source=options.source,
        pace=_pace(options),
        rates=_rates(options.rate, [each.name for each in settings.candidates]),
        recorded=frozenset(options.recorded),
        is_fresh=options.fresh,
        is_again=options.again_failed,
        patience=Patience(options.tries),
        choice=Choice(frozenset(options.route), options.sample, options.limit),
        share=options.shard,
        workers=options.workers,
        work=options.work,
        format=options.format,
        identities=tuple(options.identity),
    )
    if request.share is not None and (wanted.reports or wanted.tracked_by or wanted.outputs):
        raise InputError("--report, --track and --outputs: a share has no verdict yet; give them to replay merge")
    if options.engine == "ray":
        return _replay_on_ray(request, settings, options, console, wanted)
    if options.shards is not None or options.ray_address:
        raise InputError("--shards and --ray-address: are for --engine ray; without it each share is a run of its own, with --shard")
    with interrupted(), Outlet(wanted, [each.name for each in settings.candidates]) as outlet:
        finished = replay(request, settings, console)
        if finished.done.is_stopped:
            console.print(stop_in_words(finished), soft_wrap=True)
            return _STOPPED
        if finished.judged is None:
            console.print(f"share {request.share} of {finished.total:,} requests is done; replay merge judges the work folders of all")
            return 0
        return outlet.tell(finished.judged, finished.notes, Source(PRIMARY, options.source, finished.source, finished.total), _COMMAND)


def _replay_on_ray(request: Request, settings: config.Config, options: argparse.Namespace, console: Console, wanted: Wanted) -> int:
    from shadowproxy.replay.ray_engine import Engine, replay_on_ray

    with interrupted(), Outlet(wanted, [each.name for each in settings.candidates]) as outlet:
        finished = replay_on_ray(request, settings, Engine(options.shards or _cores(), options.ray_address), console)
        merged = finished.merged
        if merged is None:
            console.print(f"stopped: what was done is kept; the same command goes on from there ({finished.folder})", soft_wrap=True)
            return _STOPPED
        return outlet.tell(merged.judged, merged.notes, Source(PRIMARY, options.source, merged.source, merged.total), _COMMAND)


def _merge(options: argparse.Namespace) -> int:
    settings = config.load_offline(options.config)
    with interrupted(), Outlet(_wanted(options), [each.name for each in settings.candidates]) as outlet:
        merged = merge(options.folders, settings, tuple(options.identity))
        source = Source(PRIMARY, str(options.folders[0]), merged.source, merged.total)
        return outlet.tell(merged.judged, merged.notes, source, f"{_COMMAND} merge")


def _wanted(options: argparse.Namespace) -> Wanted:
    return Wanted(kinds_of(options.report), destinations_of(options.track), options.raw, options.json, options.outputs)


def _pace(options: argparse.Namespace) -> Pace:
    if options.speed is not None:
        return Timed(options.speed)
    return ClosedLoop(options.concurrency or CONCURRENCY)


def _rates(given: Sequence[tuple[str, float]], candidates: Sequence[str]) -> Mapping[str, float]:
    """Without an arm a rate is every arm's; what names one goes before it."""
    everywhere = {arm: rate for name, rate in given if not name for arm in ("primary", "control", *candidates)}
    return everywhere | {name: rate for name, rate in given if name}


# --- values ---------------------------------------------------------------------------------------------------------------


def _positive(written: str) -> float:
    try:
        value = float(written)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{written!r} is not a number above 0")
    return value


def _percent(written: str) -> float:
    value = _positive(written)
    if value > 100:
        raise argparse.ArgumentTypeError(f"{written!r} is more than 100 percent")
    return value


def _whole(written: str) -> int:
    if not written.isdecimal() or int(written) < 1:
        raise argparse.ArgumentTypeError(f"{written!r} is not a whole number from 1 up")
    return int(written)


def _count(written: str) -> int:
    return 0 if written == "0" else _whole(written)


def _rate(written: str) -> tuple[str, float]:
    arm, _, rate = written.rpartition("=")
    return arm, _positive(rate)


def _share(written: str) -> Share:
    found = re.fullmatch(r"(\d+)/(\d+)", written)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(f"{written!r} is not a share; write 2/8 for the second of eight")
    return Share(int(found[1]), int(found[2]))


def _cores() -> int:
    return len(os.sched_getaffinity(0))
