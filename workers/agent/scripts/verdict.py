"""How a script ended: from its launcher's exit, torch's account of the rank that failed, and what was asked."""

import signal
from dataclasses import dataclass

from workers.agent.outcome import RankExit, Verdict
from workers.contract.node_api import Outcome
from workers.contract.run import FailureKind

EXIT_NO_TORCH = 66
"""Of ``workers/runtime/elastic.py``."""


@dataclass(frozen=True)
class StopCourse:
    """How far a cancelled script had to be pushed."""

    grace_period_s: float
    was_terminated: bool
    was_killed: bool

    @property
    def reason(self) -> str:
        """Say it to a person."""
        if self.was_killed:
            return (
                f"The script ended neither on the stop request nor on SIGTERM within its grace period of "
                f"{self.grace_period_s:g} s: it was killed (SIGKILL)."
            )
        if self.was_terminated:
            return "The script did not act on the stop request; it ended on SIGTERM."
        return "The script ended after the stop request."


@dataclass(frozen=True)
class RankFailure:
    """The rank that failed first, in torch's last round."""

    rank: int
    code: int
    last_words: str
    """The last line of its stderr."""


def judge_script(
    launcher: RankExit,
    failure: RankFailure | None,
    *,
    stop: StopCourse | None,
    interruption: Verdict | None,
    max_restarts: int,
    launcher_said: str,
) -> Verdict:
    """Decide how the allocation ended. A script's own failure is the user's: torch has restarted it already."""
    if interruption is not None:
        return interruption
    if stop is not None:
        return Verdict(Outcome.STOPPED, reason=stop.reason)
    if launcher.code == 0:
        return Verdict(Outcome.SUCCEEDED)
    return _judge_failure(launcher, failure, max_restarts, launcher_said)


def _judge_failure(launcher: RankExit, failure: RankFailure | None, max_restarts: int, launcher_said: str) -> Verdict:
    if failure is not None:
        return Verdict.failed(FailureKind.USER, _describe(failure, max_restarts))
    if launcher.code == EXIT_NO_TORCH:
        return Verdict.failed(
            FailureKind.USER,
            f"torch is missing: add it to the requirements, or set system_packages ({launcher_said})",
        )
    if launcher.code < 0:
        return Verdict.failed(FailureKind.RETRYABLE, f"torch's launcher was killed by signal {-launcher.code}")
    # a rendezvous that peers did not enter, an address that cannot be bound: elsewhere or later it may work
    return Verdict.failed(FailureKind.RETRYABLE, f"torch's launcher ended with code {launcher.code}: {launcher_said}")


def _describe(failure: RankFailure, max_restarts: int) -> str:
    if failure.code < 0:
        try:
            name = f" ({signal.Signals(-failure.code).name})"
        except ValueError:  # a real-time signal has no name
            name = ""
        how = f"was killed by signal {-failure.code}{name}"
    else:
        how = f"exited with code {failure.code}"
    restarts = f", the last time of {max_restarts + 1}" if max_restarts else ""
    words = f": {failure.last_words}" if failure.last_words else ""
    return f"rank {failure.rank} {how}{restarts}{words}"
