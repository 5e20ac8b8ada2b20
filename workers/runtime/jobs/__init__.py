"""One module per job kind; importing this package registers them all."""

from workers.runtime.jobs import compress, evaluate, export, generate, train
from workers.runtime.jobs.registry import HANDLERS, run_job

__all__ = ["HANDLERS", "compress", "evaluate", "export", "generate", "run_job", "train"]
