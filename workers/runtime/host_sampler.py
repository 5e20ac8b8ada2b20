"""Utilisation, memory, power and temperature of the host and its GPUs, sampled beside the training.

One thread on the first rank of each node. The host comes from psutil, the GPUs from NVML; what a machine does
not offer is absent, not zero.
"""

import os
import threading
from collections.abc import Callable
from types import TracebackType

import psutil
import pynvml

from workers.runtime.context import RankContext

INTERVAL_S = 2.0
_GIB = 2**30


class HostSampler:
    """Emits ``host/...`` and ``gpu<i>/...`` metrics while its block runs."""

    def __init__(self, context: RankContext, current_step: Callable[[], int]) -> None:
        self._context = context
        self._current_step = current_step
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="host-sampler", daemon=True)
        self._is_active = context.env.local_rank == 0

    def __enter__(self) -> "HostSampler":
        if self._is_active:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._is_active:
            self._thread.join()

    def _run(self) -> None:
        gpus = _open_gpus(self._context.device.type == "cuda")
        psutil.cpu_percent()  # the first reading only sets the reference
        while not self._stop.wait(INTERVAL_S):
            values = sample_host()
            for index, handle in gpus.items():
                values |= _sample_gpu(index, handle)
            self._context.events.metrics(self._current_step(), values)


def sample_host() -> dict[str, float]:
    """Return the host's load since the last call, its memory and, where it has sensors, its temperature."""
    memory = psutil.virtual_memory()
    values = {
        "host/cpu_pct": psutil.cpu_percent(),
        "host/memory_pct": memory.percent,
        "host/memory_used_gib": (memory.total - memory.available) / _GIB,
        "host/process_memory_gib": psutil.Process().memory_info().rss / _GIB,
    }
    temperatures = [entry.current for entries in psutil.sensors_temperatures().values() for entry in entries]
    if temperatures:
        values["host/temperature_c"] = max(temperatures)
    return values


def _open_gpus(has_cuda: bool) -> dict[int, object]:  # noqa: FBT001
    if not has_cuda:
        return {}
    try:
        pynvml.nvmlInit()
        return {index: pynvml.nvmlDeviceGetHandleByIndex(index) for index in _visible_gpus()}
    except pynvml.NVMLError:
        return {}


def _visible_gpus() -> list[int]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return list(range(pynvml.nvmlDeviceGetCount()))
    return [int(part) for part in visible.split(",") if part.strip().isdigit()]


def _sample_gpu(index: int, handle: object) -> dict[str, float]:
    readings: dict[str, Callable[[], float]] = {
        "util_pct": lambda: float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu),
        "memory_used_gib": lambda: pynvml.nvmlDeviceGetMemoryInfo(handle).used / _GIB,
        "power_w": lambda: pynvml.nvmlDeviceGetPowerUsage(handle) / 1000,
        "temperature_c": lambda: float(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)),
    }
    values: dict[str, float] = {}
    for name, read in readings.items():
        try:
            values[f"gpu{index}/{name}"] = read()
        except pynvml.NVMLError:
            continue  # not offered by this card (MIG slices have no power reading)
    return values
