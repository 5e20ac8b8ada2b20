"""One module per job kind; importing this package registers them all."""

from workers.runtime.jobs import generate, train
from workers.runtime.jobs.registry import HANDLERS, run_job

__all__ = ["HANDLERS", "generate", "run_job", "train"]
