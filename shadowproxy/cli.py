"""The command line. Exit codes: 0 done, 2 bad configuration or usage, 1 anything else that went wrong."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TypeAlias

import uvloop

from shadowproxy import app, config, manifests_command
from shadowproxy.compiled import is_compiled
from shadowproxy.errors import ConfigError, InputError, ShadowproxyError
from shadowproxy.journal.commands import add_commands as add_journal_commands
from shadowproxy.promote.phases import ORDERS
from shadowproxy.replay.commands import add_commands as add_replay_commands
from shadowproxy.replay.commands import with_merge
from shadowproxy.trackers.options import add_track

#: Prints the block of an Argo CD Application that leaves the weights to us.
_IGNORE = "ignore-differences"

#: argparse has no public name for what add_subparsers returns.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run, and turn our own errors into a message and an exit code."""
    options = _parser().parse_args(with_merge(sys.argv[1:] if arguments is None else arguments))
    try:
        code = options.run(options)
    except ConfigError as exc:
        for problem in exc.problems:
            print(problem, file=sys.stderr)
        code = 2
    except InputError as exc:
        print(exc, file=sys.stderr)
        code = 2
    except ShadowproxyError as exc:
        print(exc, file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        code = 130
    raise SystemExit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="shadowproxy", description="Mirror LLM traffic to candidates, compare the answers, judge them.")
    how = "compiled" if is_compiled() else "interpreted"
    version = f"shadowproxy {metadata.version('llm-shadowproxy')} (data path {how})"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the gateway, the shadow process and the admin API")
    serve.add_argument("-c", "--config", type=Path, required=True, metavar="FILE", help="configuration, YAML")
    _add_dry_run(serve)
    serve.set_defaults(run=_serve)

    judge = commands.add_parser("judge", help="judge the counts of many serve processes, from Prometheus or an admin API")
    judge.add_argument("-c", "--config", type=Path, required=True, metavar="FILE", help="the configuration of those processes, YAML")
    _add_dry_run(judge)
    judge.set_defaults(run=_judge)

    _add_promote(commands)

    check = commands.add_parser("check", help="check a configuration and print every problem in it")
    check.add_argument("-c", "--config", type=Path, required=True, metavar="FILE", help="configuration, YAML")
    check.set_defaults(run=_check)

    _add_compare(commands)
    _add_verdict(commands)
    _add_plan(commands)
    add_replay_commands(commands)
    add_journal_commands(commands)
    manifests_command.add_commands(commands)

    demo = commands.add_parser("demo", help="watch one good and one bad candidate being judged, on recorded answers")
    demo.add_argument("--keep", action="store_true", help="leave everything running afterwards and print the addresses")
    demo.add_argument(
        "--live", action="store_true", help="ask a real small language model instead of playing recordings (extra: demo-live)"
    )
    demo.add_argument("-c", "--config", type=Path, metavar="FILE", help="use this configuration instead of the demo's own")
    demo.add_argument("--give-up-s", type=float, metavar="SECONDS", help="end without a decision after this long (default: 75, live 900)")
    demo.set_defaults(run=_demo)
    return parser


def _add_dry_run(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--dry-run",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="print what promotions would do to the traffic (default); --no-dry-run does it",
    )


def _shown(options: argparse.Namespace) -> Callable[[str], None] | None:
    """Where a dry run shows what it would do; None where it is done."""
    return (lambda text: print(text, flush=True)) if options.dry_run else None


def _add_promote(commands: Commands) -> None:
    promote = commands.add_parser(
        "promote", help="give orders to the judge or serve that moves traffic, or say what Argo CD has to leave alone"
    )
    promote.add_argument("order", choices=[*ORDERS, _IGNORE], metavar="ORDER", help=f"{', '.join(ORDERS)}, or {_IGNORE}")
    promote.add_argument("candidate", metavar="CANDIDATE", help="name of the candidate")
    promote.add_argument("-c", "--config", type=Path, required=True, metavar="FILE", help="its configuration, YAML")
    promote.set_defaults(run=_promote)


def _add_compare(commands: Commands) -> None:
    compare = commands.add_parser("compare", help="compare recorded pairs of answers, line by line")
    compare.add_argument("pairs", type=Path, metavar="PAIRS.jsonl", help='lines {"id", "request"?, "primary", "candidate", "control"?}')
    compare.add_argument("-o", "--out", type=Path, metavar="OUT.jsonl", help="where the result goes (default: standard output)")
    compare.add_argument("--resume", action="store_true", help="go on behind what an earlier run has written to OUT.jsonl")
    _add_offline(compare)
    compare.set_defaults(run=_compare)


def _add_verdict(commands: Commands) -> None:
    verdict = commands.add_parser("verdict", help="judge recorded answers: exit code 0 promote, 3 hold, 4 rollback, 2 bad input")
    for arm, is_required in (("primary", True), ("candidate", True), ("control", False)):
        about = "the primary's second answers" if arm == "control" else f"answers of the {arm}"
        verdict.add_argument(f"--{arm}", type=Path, required=is_required, metavar="FILE.jsonl", help=f"{about}, joined by id")
    verdict.add_argument("--json", action="store_true", help="print the verdict document instead of a table")
    verdict.add_argument("-o", "--out", type=Path, metavar="OUT.jsonl", help="write every pair with its divergences, too")
    verdict.add_argument(
        "--report",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="write a report: .html, .md, .xml (JUnit) or .json; repeatable",
    )
    verdict.add_argument("--raw", action="store_true", help="show texts as they are, with personal data and secrets")
    add_track(verdict)
    _add_offline(verdict)
    verdict.set_defaults(run=_verdict)


def _add_plan(commands: Commands) -> None:
    plan = commands.add_parser("plan", help="how many pairs and how long a promotion or a rollback will take, gate by gate")
    plan.add_argument("-c", "--config", type=Path, required=True, metavar="FILE", help="configuration, YAML")
    plan.add_argument("--loss", action="append", default=[], type=_loss, metavar="GATE=AMOUNT", help="how much worse the bad candidate is")
    plan.add_argument("--rate", type=float, metavar="PAIRS_PER_S", help="traffic, where none is there yet to be seen")
    plan.add_argument("--json", action="store_true", help="print the plan as JSON")
    plan.set_defaults(run=_plan)


def _loss(written: str) -> tuple[str, float]:
    gate, _, amount = written.partition("=")
    try:
        return gate, float(amount)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{written!r} is not GATE=AMOUNT, as in error=0.02") from None


def _add_offline(command: argparse.ArgumentParser) -> None:
    """What the commands on recorded answers share."""
    command.add_argument(
        "-c", "--config", type=Path, metavar="FILE", help="configuration, YAML; only what is about comparing and judging counts"
    )
    command.add_argument(
        "--embedder",
        metavar="BACKEND[:MODEL]",
        help="onnx (default), sentence-transformers or none; a model behind a colon, as in sentence-transformers:all-mpnet-base-v2",
    )


def _compare(options: argparse.Namespace) -> int:
    from shadowproxy.offline import compare_command
    from shadowproxy.offline.settings import bench, settings

    return compare_command.run(options.pairs, options.out, bench(settings(options.config, options.embedder)), resume=options.resume)


def _verdict(options: argparse.Namespace) -> int:
    from shadowproxy.offline import verdict_command
    from shadowproxy.offline.settings import bench, settings
    from shadowproxy.report.writing import kinds_of
    from shadowproxy.trackers.destinations import destinations_of

    kinds, destinations = kinds_of(options.report), destinations_of(options.track)
    read = settings(options.config, options.embedder)
    inputs = verdict_command.Inputs(
        options.primary, options.candidate, options.control, options.out, kinds, destinations, is_raw=options.raw
    )
    return verdict_command.run(inputs, read, bench(read), as_json=options.json)


def _plan(options: argparse.Namespace) -> int:
    from shadowproxy.offline import plan_command

    return plan_command.run(config.load_offline(options.config), dict(options.loss), options.rate, as_json=options.json)


def _serve(options: argparse.Namespace) -> int:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(app.serve(options.config, _announce, _shown(options)))
    return 0


def _announce(listen: str, admin: str) -> None:
    print(f"shadowproxy: serving on {listen}, admin on {admin}", flush=True)


def _judge(options: argparse.Namespace) -> int:
    asyncio.run(app.judge(options.config, _announce_judge, _shown(options)))
    return 0


def _announce_judge(source: str, admin: str) -> None:
    print(f"shadowproxy: judging {source}, admin on {admin}", flush=True)


def _promote(options: argparse.Namespace) -> int:
    from shadowproxy import orders

    settings = config.load(options.config)
    text = orders.ignore_differences_of(settings, options.candidate) if options.order == _IGNORE else None
    print(text if text is not None else asyncio.run(orders.give(settings, options.candidate, options.order)))
    return 0


def _check(options: argparse.Namespace) -> int:
    settings = config.load(options.config)
    app.check(settings)
    rollouts = ", ".join(settings.rollout_id(candidate) for candidate in settings.candidates) or "none"
    print(f"{options.config}: fine; rollouts: {rollouts}")
    return 0


def _demo(options: argparse.Namespace) -> int:
    from shadowproxy import demo

    return demo.run(config_path=options.config, keep=options.keep, live=options.live, give_up_s=options.give_up_s)
