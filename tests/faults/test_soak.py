"""Half an hour of jobs while something is killed in each: the curves must stay those of an undisturbed run.

``COX_SOAK_S`` sets the length in seconds, ``COX_SOAK_SEED`` the order of the faults.
"""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.faults.test_recovery import assert_logs_complete
from tests.live.api import Api, Json
from tests.live.stack import LiveStack

pytestmark = [pytest.mark.faults, pytest.mark.soak]

FAULTS = ("rank", "agent", "web", "scheduler", "worker", "redis")


def strike(fault: str, stack: LiveStack, api: Api, job_id: str) -> None:
    """Kill one thing, and start it again where nothing else does."""
    if fault == "rank":
        os.kill(random.choice(api.pids(job_id)), signal.SIGKILL)
        return
    stack.kill(fault)
    time.sleep(2)
    stack.start(fault)


def memory_mib(pid: int) -> float:
    """Resident memory of one process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


@pytest.mark.timeout(7200)
def test_nothing_is_lost_however_often_something_is_killed(
    stack: LiveStack, api: Api, spec: Json, undisturbed: dict[int, float]
) -> None:
    random.seed(int(os.environ.get("COX_SOAK_SEED", "1")))
    end = time.monotonic() + float(os.environ.get("COX_SOAK_S", "1800"))
    scheduler_mib = memory_mib(stack.pid("scheduler"))
    round_number = 0
    while time.monotonic() < end:
        fault = FAULTS[round_number % len(FAULTS)] if round_number < len(FAULTS) else random.choice(FAULTS)
        round_number += 1
        job_id = api.submit(f"soak-{round_number}-{fault}", spec)
        api.wait_for_step(job_id, random.randint(5, 120))
        strike(fault, stack, api, job_id)
        job = api.wait_final(job_id)
        assert job["state"] == "succeeded", (fault, job["state_reason"])
        assert api.curve(job_id) == undisturbed, fault
        assert_logs_complete(api, job_id)
    assert memory_mib(stack.pid("scheduler")) < scheduler_mib + 100
