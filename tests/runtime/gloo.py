"""Functions on real gloo ranks: each rank a process forked from one that has torch imported."""

import multiprocessing
import os
import socket
import tempfile
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist

_TIMEOUT_S = 90
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["__main__", "pytest", "torch.nn.parallel", "torch.distributed.nn", "tests.runtime.gloo", "torch._dynamo"]
)

ResultT = TypeVar("ResultT")


def on_ranks(function: Callable[..., ResultT], world_size: int, *args: object) -> list[ResultT]:
    """Call a module-level ``function(*args)`` on every rank of a process group; return what each returned."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name, f"{rank}.pt") for rank in range(world_size)]
        ranks = [
            _CONTEXT.Process(target=_run, args=(partial(function, *args), rank, world_size, port, path))
            for rank, path in enumerate(paths)
        ]
        for process in ranks:
            process.start()
        for process in ranks:
            process.join(_TIMEOUT_S)
            if process.is_alive():
                process.kill()
        failures = [path.with_suffix(".txt").read_text() for path in paths if path.with_suffix(".txt").exists()]
        assert not failures, "\n".join(failures)
        codes = [process.exitcode for process in ranks]
        assert codes == [0] * world_size, codes
        return [torch.load(path, weights_only=False) for path in paths]


def _run(function: Callable[[], object], rank: int, world_size: int, port: int, path: Path) -> None:
    try:
        torch.set_num_threads(1)
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        dist.init_process_group("gloo", rank=rank, world_size=world_size)
        torch.save(function(), path)
        dist.destroy_process_group()
    except BaseException:
        path.with_suffix(".txt").write_text(f"rank {rank}\n{traceback.format_exc()}")
        raise
