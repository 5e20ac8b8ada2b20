"""Which device a rank computes on, in which precision, and how the ranks talk."""

import os
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import Store
from torch.utils import deterministic

from workers.contract.training import Precision

CONNECT_TIMEOUT_S = 60


def pick_device(local_rank: int) -> torch.device:
    """Return this rank's accelerator, or the CPU where there is none."""
    if not torch.accelerator.is_available():
        return torch.device("cpu")
    kind = torch.accelerator.current_accelerator()
    assert kind is not None
    device = torch.device(kind.type, local_rank % torch.accelerator.device_count())
    torch.accelerator.set_device_index(device.index)
    return device


def compute_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Resolve ``auto`` to bf16 where the hardware multiplies it natively."""
    if precision is Precision.AUTO:
        return torch.bfloat16 if _has_native_bf16(device) else torch.float32
    return torch.bfloat16 if precision is Precision.BF16 else torch.float32


def _has_native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def memory_gib(device: torch.device) -> float:
    """Return the peak memory of the device this rank has used, or the process' resident memory on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**30


def join_process_group(
    device: torch.device, *, rank: int, world_size: int, collective_timeout_s: float
) -> Store | None:
    """Connect the ranks and return their store; a lone rank needs neither.

    Raises:
        torch.distributed.DistError: the other ranks did not come within the connect timeout.
    """
    if world_size == 1:
        return None
    backend = "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, rank=rank, world_size=world_size, timeout=timedelta(seconds=CONNECT_TIMEOUT_S))
    dist.distributed_c10d._set_pg_timeout(timedelta(seconds=collective_timeout_s))
    return dist.distributed_c10d._get_default_store()


def make_checkpoint_group() -> dist.ProcessGroup:
    """Return a group of all ranks on the CPU, for collectives that run in a thread beside the training's."""
    group: dist.ProcessGroup = dist.new_group(backend="gloo")
    return group


def leave_process_group() -> None:
    """Disconnect, if connected."""
    if dist.is_initialized():
        dist.destroy_process_group()


def make_deterministic(device: torch.device) -> None:
    """Choose kernels that give the same bits each time; a CPU's do, with a fixed number of threads.

    Only warns where an operation has no such kernel: a model that trains is worth more than one that cannot.
    """
    if device.type == "cuda":
        torch.use_deterministic_algorithms(mode=True, warn_only=True)
        # That default finds bugs in kernels, at a cost in each step.
        deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.set_float32_matmul_precision("high")


def limit_threads(local_world_size: int) -> None:
    """Give this rank the threads its environment names, or one if it shares the node.

    A rank that was forked has inherited the fork server's single thread, whatever its environment says.
    """
    named = os.environ.get("OMP_NUM_THREADS", "")
    if named.isdigit() and int(named) > 0:
        torch.set_num_threads(int(named))
    elif local_world_size > 1:
        torch.set_num_threads(1)
