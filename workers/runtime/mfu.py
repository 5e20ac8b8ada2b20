"""Model FLOP utilisation: what a step computes, over what the device could.

Chowdhery et al. (PaLM), arXiv:2204.02311, appendix B: 6 operations per matrix parameter and token, and
12 * layers * width * context for attention. Recomputation is not counted. A GPU's peak is the vendor's
dense figure; a CPU's is measured once with a matrix product and remembered in the cache.
"""

import json
import platform
import time
from pathlib import Path

import torch
from transformers import PreTrainedModel

from workers.runtime.files import atomic_text
from workers.runtime.model import embedding_rows

# Dense bf16 FLOP/s by a part of the device's name, the more specific first. Vendors' data sheets.
_PEAK_BF16 = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
    "V100": 125e12,
    "T4": 65e12,
}
_PEAK_TF32_SHARE = 0.5
_PROBE_SIZE = 512
_PROBE_ROUNDS = 5


def flops_per_token(model: PreTrainedModel, context_length: int) -> float:
    """Return the floating-point operations of forward and backward for one token."""
    matrices = sum(parameter.numel() for parameter in model.parameters() if parameter.ndim >= 2)
    if not model.config.tie_word_embeddings:
        matrices -= embedding_rows(model) * model.config.hidden_size  # a look-up, no product
    attention = 12.0 * model.config.num_hidden_layers * model.config.hidden_size * context_length
    return float(6.0 * matrices + attention)


def peak_flops(device: torch.device, dtype: torch.dtype, cache_dir: Path) -> float | None:
    """Return the device's peak FLOP/s in ``dtype``, or None for a GPU that is not in the table."""
    if device.type == "cpu":
        return _cpu_peak(dtype, cache_dir)
    name = torch.cuda.get_device_name(device)
    peak = next((value for part, value in _PEAK_BF16.items() if part in name), None)
    if peak is None or dtype is torch.bfloat16:
        return peak
    return peak * _PEAK_TF32_SHARE


def _cpu_peak(dtype: torch.dtype, cache_dir: Path) -> float:
    threads = torch.get_num_threads()
    path = cache_dir / f"peak-{platform.node()}-{str(dtype).removeprefix('torch.')}-{threads}.json"
    try:
        return float(json.loads(path.read_text(encoding="ascii")))
    except (OSError, ValueError, TypeError):
        peak = _measure(dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_text(path) as temporary:
        temporary.write_text(json.dumps(peak), encoding="ascii")
    return peak


def _measure(dtype: torch.dtype) -> float:
    """Return the best rate of a few square products: other load can only make a round slower."""
    matrix = torch.ones(_PROBE_SIZE, _PROBE_SIZE, dtype=dtype)
    best_s = float("inf")
    for _ in range(_PROBE_ROUNDS):
        began = time.perf_counter()
        matrix @ matrix
        best_s = min(best_s, time.perf_counter() - began)
    return 2 * _PROBE_SIZE**3 / best_s
