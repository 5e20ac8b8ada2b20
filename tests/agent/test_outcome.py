"""How ends are judged."""

import pytest

from workers.agent.outcome import LastWords, RankExit, Verdict, judge
from workers.contract.node_api import Outcome
from workers.contract.run import FailureEvent, FailureKind, FinishedEvent


def finished(*, stopped: bool = False) -> FinishedEvent:
    return FinishedEvent(n=9, time_us=9, stopped=stopped, step=3)


def failure(kind: FailureKind, message: str, time_us: int = 1) -> FailureEvent:
    return FailureEvent(n=9, time_us=time_us, kind=kind, message=message, traceback="Traceback")


DISOBEYED = Verdict(Outcome.KILLED, reason="they did not obey")
INTERRUPTED = Verdict.failed(FailureKind.RETRYABLE, "the agent was stopped")


@pytest.mark.parametrize(
    ("exits", "words", "interruption", "expected"),
    [
        ((RankExit(0, 0), RankExit(1, 0)), {0: finished(), 1: finished()}, None, (Outcome.SUCCEEDED, None, "")),
        ((RankExit(0, 0),), {0: finished()}, INTERRUPTED, (Outcome.SUCCEEDED, None, "")),
        ((RankExit(0, 0),), {0: finished(stopped=True)}, None, (Outcome.STOPPED, None, "")),
        (
            (RankExit(0, 0),),
            {0: finished(stopped=True)},
            INTERRUPTED,
            (Outcome.FAILED, FailureKind.RETRYABLE, "the agent was stopped"),
        ),
        ((RankExit(0, 0),), {0: finished(stopped=True)}, DISOBEYED, (Outcome.STOPPED, None, "")),
        ((RankExit(0, -15, was_signalled_by_agent=True),), {}, DISOBEYED, (Outcome.KILLED, None, "they did not obey")),
        (
            (RankExit(1, -9), RankExit(0, 1)),
            {0: failure(FailureKind.RETRYABLE, "connection closed by peer")},
            None,
            (Outcome.FAILED, FailureKind.RETRYABLE, "rank 1 was killed by signal 9 (SIGKILL)"),
        ),
        (
            (RankExit(0, 3), RankExit(1, -9, was_signalled_by_agent=True)),
            {
                0: failure(FailureKind.USER, "loss is NaN", time_us=5),
                1: failure(FailureKind.RETRYABLE, "connection closed by peer", time_us=1),
            },
            None,
            (Outcome.FAILED, FailureKind.USER, "loss is NaN"),
        ),
        (
            (RankExit(0, 3), RankExit(1, 3)),
            {0: failure(FailureKind.SYSTEM, "later", 2), 1: failure(FailureKind.SYSTEM, "first", 1)},
            None,
            (Outcome.FAILED, FailureKind.SYSTEM, "first"),
        ),
        ((RankExit(0, 2),), {}, None, (Outcome.FAILED, FailureKind.SYSTEM, "rank 0 exited with code 2")),
        (
            (RankExit(0, 0), RankExit(1, 0)),
            {0: finished()},
            None,
            (Outcome.FAILED, FailureKind.SYSTEM, "rank 1 ended without saying that it had finished"),
        ),
        (
            (RankExit(2, -40),),
            {},
            None,
            (Outcome.FAILED, FailureKind.RETRYABLE, "rank 2 was killed by signal 40 (unnamed)"),
        ),
        (
            (RankExit(0, -9, was_signalled_by_agent=True),),
            {},
            Verdict(Outcome.KILLED, reason="killed on request"),
            (Outcome.KILLED, None, "killed on request"),
        ),
    ],
)
def test_verdict(
    exits: tuple[RankExit, ...],
    words: dict[int, LastWords],
    interruption: Verdict | None,
    expected: tuple[Outcome, FailureKind | None, str],
) -> None:
    verdict = judge(exits, words, interruption=interruption)
    assert (verdict.outcome, verdict.failure_kind, verdict.reason) == expected
