"""Import all that a rank will need, in a process that will be forked and does nothing else.

What is imported here costs a rank nothing. Nothing may touch CUDA or start a thread: neither survives a
fork.
"""

import gc
import importlib
import os
import warnings

from workers.runtime.environment import prepare_environment

# What libraries import only when they are first used; a test finds what is missing here.
_LAZY = (
    "encodings.utf_8_sig",
    "numpy.ctypeslib",
    "torch.profiler._cupti_monitor",
    "torch.utils.serialization.config",
)
_SINGLE_THREADED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def preload() -> None:
    """Import torch, transformers and the runtime, and leave a single thread and a frozen heap.

    The thread variables of the environment are set while importing and put back afterwards: a rank gets
    its own with its environment.
    """
    before = {name: os.environ.get(name) for name in _SINGLE_THREADED}
    os.environ.update(dict.fromkeys(_SINGLE_THREADED, "1"))
    prepare_environment()
    _import_everything()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
    gc.collect()
    gc.freeze()  # a collection in a child would otherwise write to, and so copy, every inherited page


def _import_everything() -> None:
    import torch

    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("workers.runtime.jobs", "workers.runtime.rank", *_LAZY):
            importlib.import_module(name)
