"""How much memory a piece of work takes at its peak."""

import contextlib
import gc
import os
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class PeakMemory:
    """Measures from its making on: the accelerator's allocations, or the process' resident memory on a CPU."""

    def __init__(self, device: torch.device) -> None:
        gc.collect()
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._before = torch.cuda.memory_allocated(device)
        else:
            with contextlib.suppress(OSError):  # not every kernel lets the high-water mark be put back
                _CLEAR.write_text("5", encoding="ascii")
            self._before = _resident("VmRSS")

    def peak_bytes(self) -> int:
        """Return the highest use so far, above what was used when it was made."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) - self._before
        return max(0, _resident("VmHWM") - self._before)


def _resident(name: str) -> int:
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
