"""The learning rate as a pure function of the step, so that a resumed run needs no schedule state.

Cosine: Loshchilov and Hutter, arXiv:1608.03983. WSD: Hu et al., arXiv:2404.06395, section 4.
"""

import math

from workers.contract.training import CosineSchedule, TrainSpec, WSDSchedule


def learning_rate(spec: TrainSpec, step: int) -> float:
    """Return the rate of ``step``, counted from 1 to ``spec.steps``."""
    return spec.optimizer.learning_rate * _share_of_peak(spec.schedule, step, spec.steps)


def _share_of_peak(schedule: CosineSchedule | WSDSchedule, step: int, steps: int) -> float:
    if step <= schedule.warmup_steps:
        return step / schedule.warmup_steps
    if isinstance(schedule, CosineSchedule):
        done = (step - schedule.warmup_steps) / max(1, steps - schedule.warmup_steps)
        return schedule.final_ratio + (1 - schedule.final_ratio) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    decay_steps = max(1, round(schedule.decay_ratio * steps))
    left = (steps - step) / decay_steps
    return schedule.final_ratio + (1 - schedule.final_ratio) * min(1.0, max(0.0, left))
