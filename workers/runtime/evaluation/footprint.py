"""How large a model is on disk and in memory, and what it was measured on."""

import os
import platform
from pathlib import Path

import torch
from torch import nn

from workers.contract.evaluation.result import Hardware, Measurement
from workers.runtime.files import MANIFEST_NAME

_CPU_INFO = Path("/proc/cpuinfo")


def size_measurements(model: nn.Module, model_dir: Path, dtype: str) -> list[Measurement]:
    """Count the bytes of the model's files, and of its tensors as they are loaded."""
    return [
        Measurement(metric=metric, unit="bytes", value=float(count), dtype=dtype)
        for metric, count in (
            ("size_on_disk_bytes", bytes_on_disk(model_dir)),
            ("size_in_memory_bytes", bytes_in_memory(model)),
        )
    ]


def bytes_on_disk(model_dir: Path) -> int:
    """Count the files of a model; the manifest that names them is none of them."""
    files = (path for path in model_dir.rglob("*") if path.is_file() and path.name != MANIFEST_NAME)
    return sum(path.stat().st_size for path in files)


def bytes_in_memory(model: nn.Module) -> int:
    """Count parameters and buffers, each piece of memory once."""
    tensors = [*model.parameters(), *model.buffers()]
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


def stored_dtype(model: nn.Module) -> str:
    """Name the type that most of the model's bytes are stored in."""
    sizes: dict[str, int] = {}
    for tensor in [*model.parameters(), *model.buffers()]:
        name = dtype_name(tensor.dtype)
        sizes[name] = sizes.get(name, 0) + tensor.numel() * tensor.element_size()
    return max(sizes, key=lambda name: sizes[name]) if sizes else "none"


def dtype_name(dtype: torch.dtype) -> str:
    """Return a short name such as ``fp32``."""
    name = str(dtype).removeprefix("torch.")
    return {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}.get(name, name)


def describe_hardware(device: torch.device) -> Hardware:
    """Name what this rank computes on."""
    is_cuda = device.type == "cuda"
    return Hardware(
        device="cuda" if is_cuda else "cpu",
        name=torch.cuda.get_device_name(device) if is_cuda else _cpu_name(),
        cores=len(os.sched_getaffinity(0)),
        threads=torch.get_num_threads(),
    )


def _cpu_name() -> str:
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.machine() or "CPU"
