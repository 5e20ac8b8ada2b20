"""How an allocation ended, worked out from exit codes and last words. A pure function."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass

from workers.contract.node_api import Outcome
from workers.contract.run import FailureEvent, FailureKind, FinishedEvent

LastWords = FailureEvent | FinishedEvent


@dataclass(frozen=True)
class Verdict:
    """What the exit report says."""

    outcome: Outcome
    failure_kind: FailureKind | None = None
    reason: str = ""
    traceback: str = ""

    @classmethod
    def failed(cls, kind: FailureKind, reason: str, traceback: str = "") -> "Verdict":
        """A failure of the given kind."""
        return cls(Outcome.FAILED, kind, reason, traceback)


@dataclass(frozen=True)
class RankExit:
    """The end of one rank's process."""

    rank: int
    code: int
    """Negative for a signal, as in subprocess."""
    was_signalled_by_agent: bool = False
    """Its death is our doing, so it explains nothing."""


def judge(
    exits: tuple[RankExit, ...],
    last_words: Mapping[int, LastWords],
    *,
    interruption: Verdict | None = None,
) -> Verdict:
    """Decide how the allocation ended.

    ``exits`` are in the order they happened. ``interruption`` is why the agent ended the ranks, if it did; it
    yields to ranks that finished their work all the same, and an end by force to ranks that saved. A failure
    somebody can act on (the user's, or a bug) is preferred over a lost peer, and a killed rank over its peers'
    complaints about it.
    """
    finished = [words for words in last_words.values() if isinstance(words, FinishedEvent)]
    if exits and len(finished) == len(exits) and all(rank_exit.code == 0 for rank_exit in exits):
        if not any(words.stopped for words in finished):
            return Verdict(Outcome.SUCCEEDED)
        is_forced = interruption is not None and interruption.outcome is Outcome.KILLED
        return Verdict(Outcome.STOPPED) if interruption is None or is_forced else interruption
    return interruption or _judge_failure(exits, last_words)


def _judge_failure(exits: tuple[RankExit, ...], last_words: Mapping[int, LastWords]) -> Verdict:
    failures = sorted(
        (words for words in last_words.values() if isinstance(words, FailureEvent)), key=lambda event: event.time_us
    )
    actionable = [event for event in failures if event.kind is not FailureKind.RETRYABLE]
    if actionable:
        return _failure(actionable[0])
    killed = [rank_exit for rank_exit in exits if rank_exit.code < 0 and not rank_exit.was_signalled_by_agent]
    if killed:
        return Verdict.failed(FailureKind.RETRYABLE, _describe_signal(killed[0]))
    if failures:
        return _failure(failures[0])
    return _judge_silent(exits, last_words)


def _judge_silent(exits: tuple[RankExit, ...], last_words: Mapping[int, LastWords]) -> Verdict:
    """No rank said why: its exit code is all there is."""
    for rank_exit in exits:
        if rank_exit.code > 0 and not rank_exit.was_signalled_by_agent:
            return Verdict.failed(FailureKind.SYSTEM, f"rank {rank_exit.rank} exited with code {rank_exit.code}")
    for rank_exit in exits:
        if rank_exit.rank not in last_words:
            return Verdict.failed(
                FailureKind.SYSTEM, f"rank {rank_exit.rank} ended without saying that it had finished"
            )
    return Verdict.failed(FailureKind.SYSTEM, "the ranks ended without a reason")


def _failure(event: FailureEvent) -> Verdict:
    return Verdict.failed(event.kind, event.message, event.traceback)


def _describe_signal(rank_exit: RankExit) -> str:
    number = -rank_exit.code
    try:
        name = signal.Signals(number).name
    except ValueError:  # a real-time signal has no name
        name = "unnamed"
    return f"rank {rank_exit.rank} was killed by signal {number} ({name})"
