"""One module per job kind; importing this package registers them all."""

from workers.runtime.jobs import compress, generate, train
from workers.runtime.jobs.registry import HANDLERS, run_job

__all__ = ["HANDLERS", "compress", "generate", "run_job", "train"]
