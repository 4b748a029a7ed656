"""Compared pairs to the model judge, and what it found to the evidence. Behind ``shadow``; ``llmjudge`` asks.

What a judge finds comes minutes later than the rest of a pair, so it has a ledger of its own: nothing else waits for it, and it counts in
the order of issue, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from shadowproxy.bookkeeping import Book, Ledger
from shadowproxy.compare.view import View
from shadowproxy.counts import LLM_JUDGE_ABSTENTIONS, LLM_JUDGE_COST, LLM_JUDGE_PAIRS, LLM_JUDGE_TOKENS, Counts
from shadowproxy.exchange import CONTROL, Asked, Outcome
from shadowproxy.llmjudge.asking import Contest
from shadowproxy.llmjudge.judge import LlmJudge
from shadowproxy.llmjudge.preference import Abstention, Judged
from shadowproxy.llmjudge.tally import result_of
from shadowproxy.verdict.checks import UNREPORTED
from shadowproxy.verdict.reductions import Preference, judged_cell


class Opinions:
    """Asks the judge about a share of the pairs and books what it says."""

    def __init__(self, judge: LlmJudge, counts: Counts) -> None:
        self._judge = judge
        self._counts = counts
        self._ledgers: dict[str, Ledger] = {}

    def compared(self, primary: View, others: Mapping[str, View], asked: Asked, books: Mapping[str, Book]) -> None:
        """Offer one request's pairs. Where the primary failed there is nothing to be better than."""
        if primary.exchange.outcome is not Outcome.OK:
            return
        for arm, other in others.items():
            # Whether a pair is judged must not depend on its answers: the share is drawn before they are looked at.
            if other.exchange.outcome is not Outcome.DROPPED_LOCAL and self._judge.wants(primary.exchange.id, arm):
                self._submit(primary, other, arm, asked, books)

    def _submit(self, primary: View, other: View, arm: str, asked: Asked, books: Mapping[str, Book]) -> None:
        is_answered = other.exchange.outcome is Outcome.OK and other.answer is not None
        if arm == CONTROL and not is_answered:
            return  # it shows what the judge sees between equals, and a failure is none
        book = next(iter(books.values())) if arm == CONTROL else books[arm]
        contest = Contest(
            primary.exchange.id, book.rollout, arm, asked.prompt, primary.text, other.text if is_answered else None, asked.model
        )
        if arm == CONTROL:
            self._judge.submit(contest, partial(self._tell, primary.exchange.route, "control"))
            return
        entry = self._ledgers.setdefault(book.rollout, Ledger()).open(primary.exchange.route)

        def done(contest: Contest, found: Judged) -> None:
            self._tell(entry.route, "candidate", contest, found)
            self._ledgers[book.rollout].resolve(entry, partial(_publish, book, entry.route, found))

        self._judge.submit(contest, done)

    def _tell(self, route: str, arm: str, contest: Contest, found: Judged) -> None:
        if isinstance(found, Abstention):
            self._counts.add(LLM_JUDGE_ABSTENTIONS, contest.rollout, arm, found.reason)
        else:
            self._counts.add(LLM_JUDGE_PAIRS, contest.rollout, route, arm, result_of(found))
        if found.tokens:
            self._counts.add(LLM_JUDGE_TOKENS, contest.rollout, by=found.tokens)
        if found.cost:
            self._counts.add(LLM_JUDGE_COST, contest.rollout, by=found.cost)


def _publish(book: Book, route: str, found: Judged) -> None:
    """An abstention that the answers may have caused is taken at its worst: a judge that is down must not look like one that sees ties."""
    if not isinstance(found, Abstention):
        book.judged(route, judged_cell(Preference(found.winner.value)))
    elif not found.is_blind:
        book.judged(route, UNREPORTED)
