"""Where a step's time goes, with delays whose place is known."""

import time

import torch

from workers.runtime.timing import StepTimer

_WAIT_S, _WORK_S = 0.06, 0.03


def test_what_follows_the_last_bucket_is_waiting_and_nothing_else_is() -> None:
    timer = StepTimer(torch.device("cpu"))
    timer.restart()
    for _ in range(2):
        timer.begin()
        time.sleep(_WORK_S)
        timer.end("forward_time_s")
        time.sleep(_WORK_S)
        timer.mark_last_bucket()
        time.sleep(_WAIT_S)
        timer.end_backward()
        timer.end_step()
    parts = timer.report()
    assert parts["comm_wait_s"] >= _WAIT_S
    assert parts["backward_time_s"] - parts["comm_wait_s"] >= _WORK_S
    assert parts["forward_time_s"] >= _WORK_S
    assert parts["step_time_s"] >= parts["forward_time_s"] + parts["backward_time_s"]


def test_what_is_left_out_is_no_part_of_a_step() -> None:
    timer = StepTimer(torch.device("cpu"))
    timer.restart()
    began = time.perf_counter()
    time.sleep(_WAIT_S)
    excluded_s = time.perf_counter() - began
    timer.exclude(excluded_s)
    timer.end_step()
    left_s = timer.report()["step_time_s"]
    assert left_s <= time.perf_counter() - began - excluded_s
