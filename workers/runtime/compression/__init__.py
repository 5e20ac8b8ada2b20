"""Compression of a model, one module per method; importing this package registers them all.

``recipe`` applies a job's steps in order; a ``Session`` goes through the model's layers for the methods;
``calibration`` brings activations to them block by block; ``storage`` writes and reads what comes out.
"""

from workers.runtime.compression import low_rank
from workers.runtime.compression.pruning import magnitude, sparsegpt, structured, wanda
from workers.runtime.compression.quantization import awq, cast, gptq, int8_dynamic, rtn, smoothquant
from workers.runtime.compression.registry import METHODS

__all__ = [
    "METHODS",
    "awq",
    "cast",
    "gptq",
    "int8_dynamic",
    "low_rank",
    "magnitude",
    "rtn",
    "smoothquant",
    "sparsegpt",
    "structured",
    "wanda",
]
