"""ONNX graphs: tokens in, logits out, batch and length free; rounded by ONNX Runtime's own quantizers.

A graph computes the whole sequence each time: it has no cache of keys and values, so scoring runs at full speed, and a
completion costs the square of its length. Sequences of different lengths are padded on the right: no token sees those
that follow. https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html describes the
quantizers.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from workers.contract.export import OPSET, OnnxOptions
from workers.runtime.formats.reference import Logits, LogitsOf, Requirement, Tokens

GRAPH_FILE = "model.onnx"
_TRACED_SHAPE = (2, 8)
_EXACT = 1e-4
_LEAST_AGREEMENT = {"int8": 0.8, "int4": 0.5}
"""On random tokens, which are harder than text: a graph that is wrong agrees almost nowhere."""
_MAX_FILE_BYTES = 1 << 30
"""Larger weights go into a file beside the graph: a graph alone is a protobuf message, of at most 2 GiB."""


class _LogitsOnly(nn.Module):
    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model: nn.Module = model

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(input_ids=input_ids, use_cache=False).logits
        return logits


def requirement_of(options: OnnxOptions) -> Requirement:
    """Return how near the graph must be: equal but for the order of sums, or rounded and of the same opinion."""
    if options.precision == "fp32":
        return Requirement(max_error=_EXACT)
    wanted = options.min_agreement
    return Requirement(min_agreement=_LEAST_AGREEMENT[options.precision] if wanted is None else wanted)


def write_graph(path: Path, model: PreTrainedModel, options: OnnxOptions) -> None:
    """Trace a model of plain fp32 layers, and round the products as ``options`` say."""
    import onnx

    if options.precision == "fp32":
        _trace(path, model)
    else:
        exact = path.with_name(f"exact-{path.name}")
        _trace(exact, model)
        round_graph(exact, path, options)
        for left in path.parent.glob(f"{exact.name}*"):
            left.unlink()
    onnx.checker.check_model(str(path))


def round_graph(source: Path, target: Path, options: OnnxOptions) -> None:
    """Write the graph of ``source`` with its products in fewer bits."""
    with _quiet():
        _round(source, target, options)


def _round(source: Path, target: Path, options: OnnxOptions) -> None:
    is_large = sum(each.stat().st_size for each in source.parent.glob(f"{source.name}*")) > _MAX_FILE_BYTES
    if options.precision == "int8":
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            reduce_range=True,  # seven bits: with eight, pairs overflow 16 bits on processors without VNNI
            use_external_data_format=is_large,
            extra_options={"MatMulConstBOnly": True},  # products of two activations stay exact
        )
        return
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(onnx.load(str(source)), bits=4, block_size=options.group_size, is_symmetric=True)
    quantizer.process()
    quantizer.model.save_model_to_file(str(target), use_external_data_format=is_large)


def open_graph(path: Path, *, num_threads: int | None = None) -> LogitsOf:
    """Load a graph into ONNX Runtime, on the CPU; as many threads as torch has, unless a number is given."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads or torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(tokens_BC: Tokens) -> Logits:
        (logits_BCV,) = session.run(["logits"], {"input_ids": tokens_BC})
        assert isinstance(logits_BCV, np.ndarray)
        return logits_BCV

    return run


def opset_of(path: Path) -> int:
    """Return the version of the standard operators that a graph is written in."""
    import onnx

    imports = onnx.load(str(path), load_external_data=False).opset_import
    return next(int(entry.version) for entry in imports if entry.domain in {"", "ai.onnx"})


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what the quantizers log on the root logger about each product."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)


def _trace(path: Path, model: PreTrainedModel) -> None:
    tokens = torch.zeros(_TRACED_SHAPE, dtype=torch.int64)
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    module = _LogitsOnly(model).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module, (tokens,), dynamo=True, dynamic_shapes=(free,), input_names=["input_ids"],
            output_names=["logits"], opset_version=OPSET, verbose=False,
        )  # fmt: skip
    assert program is not None
    for node in program.model.graph.all_nodes():  # the traces of our own sources: large, and nobody else's business
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
    size_bytes = sum(tensor.numel() * tensor.element_size() for tensor in module.parameters())
    program.save(str(path), external_data=size_bytes > _MAX_FILE_BYTES)
