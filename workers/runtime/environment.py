"""The process environment that must be in place before torch and transformers are imported.

Also reads back what torchrun (or the agent, with the same variables) says about this rank.
"""

import logging
import os
import warnings
from dataclasses import dataclass

_DEFAULTS = {
    "HF_HUB_OFFLINE": "1",  # a rank reads local files only; a look-up by name on the network would be a leak
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",  # threads only where a whole corpus is encoded
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # what cuBLAS needs to give the same bits each time
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",  # counting devices must not initialise CUDA before a fork
}
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class RankEnvironment:
    """Who this process is in the gang."""

    rank: int
    local_rank: int
    world_size: int
    local_world_size: int
    restart_count: int
    """Restarts of the gang by torchrun itself; 0 on the first start."""


def prepare_environment() -> None:
    """Set defaults that libraries read while they are imported; what the caller has set is kept."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    if int(os.environ.get("LOCAL_WORLD_SIZE", "1")) > 1:
        for name in _THREAD_VARIABLES:  # ranks that share cores fight over them otherwise
            os.environ.setdefault(name, "1")
    warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # a checkpoint written by rank 0 alone
    for logger in ("torchao", "torch.distributed.checkpoint", "torch.onnx"):
        logging.getLogger(logger).setLevel(logging.ERROR)


def rank_environment() -> RankEnvironment:
    """Read torchrun's variables; without them this is the only rank."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    return RankEnvironment(
        rank=rank,
        local_rank=int(os.environ.get("LOCAL_RANK", rank)),
        world_size=world_size,
        local_world_size=int(os.environ.get("LOCAL_WORLD_SIZE", world_size)),
        restart_count=int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")),
    )
