"""One module per job kind; importing this package registers them all."""

from workers.runtime.jobs import compress, evaluate, generate, train
from workers.runtime.jobs.registry import HANDLERS, run_job

__all__ = ["HANDLERS", "compress", "evaluate", "generate", "run_job", "train"]
