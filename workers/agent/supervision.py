"""A gang from its start to the end of its last rank: wishes are passed on, and what does not obey is ended."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

from workers.agent.atomic import write_atomically
from workers.agent.gang import Gang
from workers.agent.inbox import Inbox
from workers.agent.settings import Timing
from workers.agent.vitals import RankVitals
from workers.contract.node_api import WishKind
from workers.contract.run import ControlFile, StopMode

_KILL_AGAIN_S = 1.0


class Supervisor:
    """Ends a gang that was told to end, in ever plainer words: the control file, SIGTERM, SIGKILL."""

    def __init__(
        self,
        gang: Gang,
        inbox: Inbox,
        vitals: RankVitals,
        *,
        control: Path,
        timing: Timing,
        say: Callable[[str], None],
    ) -> None:
        self._gang = gang
        self._inbox = inbox
        self._vitals = vitals
        self._control = control
        self._timing = timing
        self._say = say
        self._asked_at: float | None = None
        self._kill_at: float | None = None

    def run(self) -> None:
        """Return when no rank runs any more."""
        while not self._gang.is_over:
            self._pass_wish_on()
            self._look_at_ranks()
            self._press()
            self._inbox.wait(self._wait_s())

    def _pass_wish_on(self) -> None:
        """Ask the ranks to save and stop; that they do not do so in time is a reason to end them."""
        if self._inbox.wish is not WishKind.STOP:
            return
        if self._asked_at is None:
            write_atomically(self._control, ControlFile(stop=StopMode.SAVE).model_dump_json())
            self._asked_at = time.monotonic()
        elif time.monotonic() - self._asked_at >= self._timing.stop_wish_s and self._inbox.ending is None:
            self._inbox.put_disobeyed(
                f"The ranks did not end within {self._timing.stop_wish_s:g} s of being asked to stop, "
                "so they were ended by SIGTERM and SIGKILL."
            )
            self._say("the ranks do not obey the request to stop: SIGTERM follows")

    def _look_at_ranks(self) -> None:
        """End a gang of which a rank has frozen: its peers would wait for it until their collective times out."""
        if self._inbox.ending is None and (finding := self._vitals.look(self._gang.live)) is not None:
            self._say(finding)
            self._inbox.put_end(finding, is_immediate=True)

    def _press(self) -> None:
        """Signal the ranks that ought to be gone."""
        grace_s = self._grace_s()
        if grace_s is None:
            return
        if self._kill_at is None and grace_s > 0:
            self._gang.signal(signal.SIGTERM)
        limit = time.monotonic() + grace_s
        self._kill_at = limit if self._kill_at is None else min(self._kill_at, limit)
        if time.monotonic() >= self._kill_at:
            self._gang.signal(signal.SIGKILL)
            self._kill_at = time.monotonic() + _KILL_AGAIN_S

    def _grace_s(self) -> float | None:
        """Seconds the ranks may go on; None without limit."""
        if self._inbox.is_immediate:
            return 0.0
        if self._gang.has_failed:
            return self._timing.kill_grace_s
        return self._timing.stop_grace_s if self._inbox.ending is not None else None

    def _wait_s(self) -> float:
        """Seconds until something is due."""
        now = time.monotonic()
        due = [now + self._timing.look_s]
        if self._kill_at is not None:
            due.append(self._kill_at)
        if self._asked_at is not None and self._inbox.ending is None:
            due.append(self._asked_at + self._timing.stop_wish_s)
        return max(0.0, min(due) - now)
