"""Ranks that live but no longer go on: stopped by a signal, or stuck within a training step.

Nobody else notices soon: the peers of such a rank wait in a collective until it times out. Two signs are read. The
kernel says that a process is stopped (state ``T``). And while a rank is within a step, where work is regular, it beats
its pulse file several times a step; loading, tokenising, validating and saving may take any time, and so may the step
after them, in which a peer may still be at it. What a debugger holds is never judged.

Only the looks' own intervals are counted, at most ``2 * look_s`` each, so a machine or an agent that was itself
suspended blames nobody.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from workers.agent.processes import read_trace
from workers.agent.settings import Timing
from workers.contract.run import Pulse

_PATIENCE = 10.0
"""A rank is stuck when it is silent for this many times the longest silence that it came back from."""


@dataclass
class _Vitals:
    """What is known of one rank."""

    stopped_s: float = 0.0
    pulse: Pulse | None = None
    silent_s: float = 0.0
    """Since its pulse last changed, while a beat was due."""
    longest_s: float = 0.0
    """Its longest silence so far."""


class RankVitals:
    """The local ranks of one allocation. Not thread-safe."""

    def __init__(
        self, pulse_path: Callable[[int], Path], timing: Timing, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pulse_path = pulse_path
        self._timing = timing
        self._clock = clock
        self._looked = clock()
        self._ranks: dict[int, _Vitals] = {}

    def look(self, live: Mapping[int, int]) -> str | None:
        """Look at the ranks (to their pids) that run; a sentence when one has frozen, else None."""
        now = self._clock()
        elapsed_s = min(now - self._looked, 2 * self._timing.look_s)
        self._looked = now
        traces = {rank: read_trace(pid) for rank, pid in live.items()}
        if any(trace.is_debugged for trace in traces.values()):
            for vitals in self._ranks.values():
                vitals.stopped_s = vitals.silent_s = 0.0
            return None
        for rank, trace in traces.items():
            vitals = self._ranks.setdefault(rank, _Vitals())
            vitals.stopped_s = vitals.stopped_s + elapsed_s if trace.is_stopped else 0.0
            self._feel_pulse(rank, vitals, elapsed_s)
        return self._find_stopped(live) or self._find_stuck(live)

    def _feel_pulse(self, rank: int, vitals: _Vitals, elapsed_s: float) -> None:
        pulse = _read_pulse(self._pulse_path(rank))
        if pulse is None:
            return
        if pulse == vitals.pulse:
            vitals.silent_s += elapsed_s if pulse.is_due else 0.0
            return
        vitals.longest_s = max(vitals.longest_s, vitals.silent_s)
        vitals.pulse, vitals.silent_s = pulse, 0.0

    def _find_stopped(self, live: Mapping[int, int]) -> str | None:
        limit_s = self._timing.rank_stopped_s
        for rank, pid in live.items():
            if 0 < limit_s <= self._ranks[rank].stopped_s:
                return f"rank {rank} (process {pid}) was stopped by a signal and did not go on within {limit_s:g} s"
        return None

    def _find_stuck(self, live: Mapping[int, int]) -> str | None:
        """Judge the ranks together: while one of them goes on, the others wait for it with reason."""
        if not live or self._timing.rank_stalled_s <= 0:
            return None
        pulses: dict[int, Pulse] = {}
        for rank in live:
            vitals = self._ranks[rank]
            limit_s = max(self._timing.rank_stalled_s, _PATIENCE * vitals.longest_s)
            if vitals.pulse is None or not vitals.pulse.is_due or vitals.silent_s < limit_s:
                return None
            pulses[rank] = vitals.pulse
        silent_s = min(self._ranks[rank].silent_s for rank in live)
        last = min(pulses, key=lambda rank: pulses[rank].count)
        step = pulses[last].step
        behind = [rank for rank, pulse in pulses.items() if pulse.count == pulses[last].count]
        if len(behind) == 1 and len(live) > 1:
            return f"rank {last} has not gone on with step {step} for {silent_s:.0f} s, and its peers wait for it"
        who = f"rank {last}" if len(live) == 1 else "no rank of this node"
        return f"{who} has {'not ' if len(live) == 1 else ''}gone on with step {step} for {silent_s:.0f} s"


def _read_pulse(path: Path) -> Pulse | None:
    """The rank's last beat; None when there is none, or it is being written."""
    try:
        return Pulse.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
