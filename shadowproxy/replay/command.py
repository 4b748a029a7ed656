"""``shadowproxy replay``: wires a run together, and judges what it leaves behind."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import msgspec
import uvloop
from rich.console import Console

from shadowproxy import app
from shadowproxy.config import NOWHERE, Config, Control, Journal
from shadowproxy.errors import ConfigError, ConfigProblem, InputError
from shadowproxy.exchange import CONTROL, PRIMARY, Outcome
from shadowproxy.gateway.tee import Routes
from shadowproxy.journal.reader import Damage, Unseal
from shadowproxy.journal.sealing import unsealer
from shadowproxy.mirror.arms import as_candidate, dispatch_of
from shadowproxy.mirror.lateness import Lateness
from shadowproxy.replay.cards import Shelf
from shadowproxy.replay.catalogue import Catalogue, Choice, RouteOf, as_captured, catalogue_of
from shadowproxy.replay.clerk import Clerk
from shadowproxy.replay.comparing import Pool
from shadowproxy.replay.evidence import ComparedLine
from shadowproxy.replay.judging import Judged, judge
from shadowproxy.replay.keeping import Keeper, keyed
from shadowproxy.replay.lanes import Gate, Lane, Patience
from shadowproxy.replay.oversight import Foreground, Overseer
from shadowproxy.replay.pace import ClosedLoop, Pace
from shadowproxy.replay.plan import Plan, control_of, plan_of
from shadowproxy.replay.progress import in_words
from shadowproxy.replay.running import Done, Run, Watcher
from shadowproxy.replay.sources import journal_of
from shadowproxy.replay.till import Till
from shadowproxy.replay.work import About, Kept, Pairs, Share, Standing, Work, decoded, names_in, pairs_in
from shadowproxy.tasks import Tasks
from shadowproxy.wire.paths import path_of, route_of

_log = logging.getLogger(__name__)

#: Comparators change with it.
VERSION = metadata.version("llm-shadowproxy")

#: A request that went out later than this is told: the arms were then asked in another rhythm than the clients'.
_TOLD_LATE_S = 0.5


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for on the command line."""

    source: str
    pace: Pace = field(default_factory=ClosedLoop)
    rates: Mapping[str, float] = field(default_factory=dict)
    recorded: frozenset[str] = frozenset()
    is_fresh: bool = False
    is_again: bool = False
    """Ask again what failed in an earlier run."""
    patience: Patience = field(default_factory=Patience)
    choice: Choice = field(default_factory=Choice)
    share: Share | None = None
    """One of the shares that are merged later. A share is one where it is the only one, too: it leaves a folder, and no verdict."""
    workers: int = 1
    work: Path | None = None
    format: str = ""
    identities: tuple[Path, ...] = ()


@dataclass(slots=True)
class Finished:
    """A run that is over. ``judged`` is None where it was stopped, or did a share of the requests only. ``source`` is the digest of what
    was asked."""

    folder: Path
    done: Done
    total: int
    source: str = ""
    judged: Judged | None = None
    notes: tuple[str, ...] = ()


def folder_for(request: Request) -> Path:
    """The work folder of this command: the same command goes on where it was."""
    if request.work is not None:
        return request.work
    place = request.source if "://" in request.source else str(Path(request.source).resolve())
    choice = request.choice
    chosen = (sorted(choice.routes), choice.percent, choice.limit)  # a set has another order in every process
    said = f"{place}\0{chosen}\0{request.share or Share()}\0{request.format}"
    return Path(f"replay-{hashlib.blake2b(said.encode(), digest_size=4).hexdigest()}")


def replay(request: Request, config: Config, console: Console, overseer: Overseer | None = None) -> Finished:
    """Ask, keep, compare, and judge once all is there. ``overseer``: who is told how far it is and may stop it, if not the console and
    signals. Raises :class:`InputError`, :class:`ConfigError` and :class:`~shadowproxy.errors.StartError`; what was done until then is
    kept."""
    check(request, config)
    folder = folder_for(request)
    unseal = unsealer(request.identities)
    section = config.journal or Journal(to=str(folder))
    if section.recipients and unseal is None:
        raise InputError("journal.recipients encrypts what is kept, and going on means reading it again; give the key with --identity FILE")
    work = Work(folder, section.recipients, unseal, section.level)
    try:
        console.print(f"work folder {folder}: the same command goes on from what it holds", highlight=False, soft_wrap=True)
        section = section.model_copy(update={"redact": keyed(section.redact, folder)})
        return _Replay(request, config, section, work, unseal, console, overseer or Foreground(console)).run()
    finally:
        work.close()


def check(request: Request, config: Config) -> None:
    """Raises :class:`ConfigError` and :class:`InputError` for what can be told before anything is read."""
    if not config.candidates:
        raise ConfigError((ConfigProblem("candidates", "", "is missing", "name the version that is to be judged"),))
    app.check(config)
    arms = {PRIMARY, CONTROL, *(each.name for each in config.candidates)}
    for option, names in (("--recorded", request.recorded), ("--rate", request.rates)):
        if unknown := sorted(set(names) - arms):
            raise InputError(f"{option}: {unknown[0]} is no arm of this configuration; known: {', '.join(sorted(arms))}")


class _Replay:
    """One run of the command."""

    def __init__(
        self,
        request: Request,
        config: Config,
        section: Journal,
        work: Work,
        unseal: Unseal | None,
        console: Console,
        overseer: Overseer,
    ) -> None:
        self._request = request
        self._share = request.share or Share()
        self._config = config
        self._section = section
        self._work = work
        self._unseal = unseal
        self._console = console
        self._overseer = overseer
        self._notes: list[str] = []

    def run(self) -> Finished:
        request, work = self._request, self._work
        catalogue = self._catalogue()
        plan = plan_of(self._config, self._recorded(catalogue), VERSION)
        about = About(catalogue.digest, len(catalogue), self._share, plan.by, dict(plan.parts), tuple(sorted(plan.recorded)))
        work.begin(catalogue, about)
        done = work.pairs(Standing(plan.by, plan.recorded, request.is_again), self._damaged).by_name
        share = self._share.numbers(len(catalogue))
        numbers = [number for number in share if catalogue.key(number) + catalogue.state(number) not in done]
        outcome = Done()
        if numbers:
            with work.answers(plan.digests, self._damaged, again=self._is_asked_again) as kept:
                outcome = self._ask(catalogue, numbers, kept, plan)
        if catalogue.gone:
            self._notes.append(f"{len(catalogue.gone)} requests went from the capture while it was replayed, and were not asked")
        notes = tuple(self._notes)
        work.end(msgspec.structs.replace(about, notes=notes, is_done=not outcome.is_stopped), share, catalogue.gone)
        finished = Finished(work.folder, outcome, len(catalogue), catalogue.digest, notes=notes)
        if not outcome.is_stopped and request.share is None:
            finished.judged = judged(self._config, (work.folder,), about, self._unseal)
        return finished

    def _is_asked_again(self, outcome: str) -> bool:
        return self._request.is_again and Outcome(outcome).is_failure

    # --- before ---------------------------------------------------------------------------------------------------------

    def _catalogue(self) -> Catalogue:
        request = self._request
        with self._console.status("reading the capture") as status:
            source = journal_of(request.source, self._section, self._work.folder / "source", request.format)
            found = catalogue_of(
                source.place,
                request.choice,
                self._unseal,
                on_damage=self._damaged,
                route=_route_of(self._config),
                control=control_of(self._config),
                on_record=lambda read: status.update(f"reading the capture: {read:,} requests") if read % 1000 == 0 else None,
            )
        self._notes.extend(source.notes)
        for reason, count in found.left_out.most_common():
            self._notes.append(f"{count} requests of the capture were not asked: {reason}")
        if found.damages:
            self._notes.append(f"the capture has {found.damages} damaged places, and what stood there was not asked")
        return found

    def _damaged(self, damage: Damage) -> None:
        _log.log(logging.INFO if damage.is_torn_end else logging.WARNING, "%s; passed over", damage)

    def _recorded(self, catalogue: Catalogue) -> frozenset[str]:
        """Arms that are taken from the capture: what was asked for, and of the primary and its control what is there."""
        request, recorded = self._request, catalogue.recorded
        for arm in sorted(request.recorded):
            if not recorded[arm]:
                held = ", ".join(sorted(recorded)) or "none"
                raise InputError(f"--recorded {arm}: the capture holds no answer of it; it holds those of: {held}")
        own = frozenset() if request.is_fresh else frozenset(arm for arm in (PRIMARY, CONTROL) if recorded[arm])
        taken = request.recorded | own
        missing = {
            arm: self._missing(catalogue, arm, taken) for arm in (PRIMARY, CONTROL, *(each.name for each in self._config.candidates))
        }
        if (missing[PRIMARY] or missing[CONTROL]) and self._config.primary.url == NOWHERE:
            raise ConfigError((ConfigProblem("primary.url", "", "is missing, and the primary has to be asked", "write where it is"),))
        for arm in sorted(taken):
            wanted = catalogue.is_control.count(1) if arm == CONTROL else len(catalogue)
            if wanted and (arm != PRIMARY or missing[arm]):
                self._notes.append(f"the answers of {arm} to {wanted - missing[arm]} of {wanted} requests are those of the capture")
        return taken

    @staticmethod
    def _missing(catalogue: Catalogue, arm: str, taken: Collection[str]) -> int:
        """Requests for which that arm has to be asked."""
        wanted = (number for number in range(len(catalogue)) if arm != CONTROL or catalogue.is_control[number])
        return sum(arm not in taken or arm not in catalogue.held[number] for number in wanted)

    # --- the run --------------------------------------------------------------------------------------------------------

    def _ask(self, catalogue: Catalogue, numbers: Sequence[int], kept: Kept, plan: Plan) -> Done:
        rollouts = {each.name: self._config.rollout_id(each) for each in self._config.candidates}
        keeper = Keeper(self._section.redact, rollouts)
        is_all_recorded = plan.recorded >= {PRIMARY, *plan.candidates, *(each.arm for each in plan.control)}
        share = len(self._share.numbers(len(catalogue)))
        with (
            closing(Pool(self._config, plan.by, self._request.workers)) as pool,
            closing(Clerk(keeper, self._section.redact, rollouts, has_process=self._request.workers > 0)) as clerk,
            self._overseer.shown(share, 0 if is_all_recorded else len(numbers), len(numbers)) as shown,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            done = runner.run(self._run(catalogue, numbers, kept, plan, clerk, pool, shown))
        self._note_key(catalogue, plan, keeper)
        return done

    async def _run(
        self,
        catalogue: Catalogue,
        numbers: Sequence[int],
        kept: Kept,
        plan: Plan,
        clerk: Clerk,
        pool: Pool,
        shown: Watcher,
    ) -> Done:
        tasks, stop = Tasks(), asyncio.Event()
        self._overseer.watch(stop, tasks)
        lanes = self._lanes(tasks)
        run = Run(catalogue, numbers, kept, plan, lanes, self._work, pool, clerk, shown, self._unseal, Till(self._config, kept.spent))
        try:
            done = await run.run(self._request.pace, stop)
        finally:
            for lane in lanes.values():
                lane.dispatch.close()
            await tasks.close()
        self._note_lanes(lanes)
        return done

    def _lanes(self, tasks: Tasks) -> dict[str, Lane]:
        config, request, lateness = self._config, self._request, Lateness()
        again = as_candidate(config.primary, config.control or Control())
        targets = {PRIMARY: again, CONTROL: again, **{each.name: each for each in config.candidates}}
        gates = {name: Gate(target.concurrency, request.rates.get(name)) for name, target in targets.items()}
        own = [request.rates[name] for name in (PRIMARY, CONTROL) if name in request.rates]
        gates[PRIMARY] = gates[CONTROL] = Gate(again.concurrency, min(own, default=None))  # one server: what one may, both may together
        return {
            name: Lane(dispatch_of(name, target, config, tasks, lateness), gates[name], request.patience)
            for name, target in targets.items()
        }

    def _note_lanes(self, lanes: Mapping[str, Lane]) -> None:
        for name, lane in lanes.items():
            for why, count in lane.retried.items():
                if count:
                    self._notes.append(f"{name} was asked again {count} times because it was {why.value}")
            if lane.late_s > _TOLD_LATE_S:
                self._notes.append(
                    f"requests went out to {name} up to {in_words(lane.late_s)} late: it or this machine did not keep the pace"
                )

    def _note_key(self, catalogue: Catalogue, plan: Plan, keeper: Keeper) -> None:
        if keeper.replaced and PRIMARY in plan.recorded and catalogue.keys - {keeper.key_id}:
            self._notes.append(
                "the capture was redacted under another key, so what was replaced differs between recorded and new answers; "
                "configure journal.redact.key with the key of the capture"
            )


def _route_of(config: Config) -> RouteOf:
    """The present configuration's routes where it has some, else those of the capture."""
    if not config.routes:
        return as_captured
    routes = Routes(config, route_of)
    return lambda record: routes.of(path_of(record.target).encode("latin-1", "replace"))


def judged(config: Config, folders: Sequence[Path], about: About, unseal: Unseal | None) -> Judged:
    """The verdict on all pairs of these work folders, each of which has its share. Raises :class:`InputError` where one is missing."""
    # What was given up counts as it is: asking again is for a run.
    standing = Standing(about.by, frozenset({PRIMARY, CONTROL, *(each.name for each in config.candidates)}))
    found = [pairs_in(folder, standing, unseal, lambda damage: _log.warning("%s", damage)) for folder in folders]
    names = [names_in(folder) for folder in folders]
    missing = Counter(share for share, own in enumerate(names) for name in own if name and name not in found[share].by_name)
    if missing:
        share, count = missing.most_common(1)[0]
        raise InputError(f"{folders[share]}: {count} of {about.requests} requests are not compared yet; run its replay to the end")

    def lines() -> Iterator[ComparedLine]:
        return _in_order(found, names, about.requests, unseal)

    return judge(config, lines)


def _in_order(found: Sequence[Pairs], names: Sequence[Sequence[str]], total: int, unseal: Unseal | None) -> Iterator[ComparedLine]:
    shelves = [Shelf(each.cards, unseal) for each in found]
    try:
        for number in range(total):
            place, share = divmod(number, len(found))
            name = names[share][place]
            if name:
                yield decoded(shelves[share].line(found[share].by_name[name]))
    finally:
        for shelf in shelves:
            shelf.close()


def stop_in_words(finished: Finished) -> str:
    """For a run that was stopped."""
    done = finished.done
    did = f"{done.answers:,} more answers are kept, {done.compared:,} more requests compared"
    return f"stopped: {did}; the same command goes on from there ({finished.folder})"
