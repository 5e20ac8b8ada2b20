"""What compression costs in quality and buys in speed, on one model; ONNX Runtime int8 against fp32 first.

    python -m benchmarks.compression [--repeat 5]   # the tables
    python -m benchmarks.compression --train        # first make the model of the quality table (about 40 minutes)

Speed does not depend on the values of the weights, so its model is not trained. Quality does: an undertrained model
hides every difference. The trained one lies in benchmarks/compression_model as bf16; without it the quality table is
left out, and the output says so.

Shapes: B = batch, C = length, S = samples.
"""

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

import workers.runtime.compression  # noqa: F401  registers the methods
from benchmarks.bare import torchrun
from benchmarks.lab import stdlib_files
from benchmarks.results import say, spread
from workers.contract.compression.recipe import CompressSpec
from workers.contract.export import OnnxOptions
from workers.runtime.compression.recipe import apply_recipe
from workers.runtime.compression.session import Session
from workers.runtime.data.documents import read_pieces, survey
from workers.runtime.data.tokenizer import load_model_tokenizer
from workers.runtime.formats.graph import open_graph, round_graph, write_graph
from workers.runtime.formats.reference import LogitsOf
from workers.runtime.memory import PeakMemory
from workers.runtime.model import load_pretrained, token_loss

MODEL = Path(__file__).with_name("compression_model")
CORPUS_BYTES = 4_000_000
TRAIN_SPEC: dict[str, Any] = {
    "kind": "train",
    "model": {"source": "config", "hidden_size": 160, "num_layers": 4, "num_heads": 5, "intermediate_size": 448},
    "tokenizer": {"source": "bpe", "vocab_size": 1024},
    "data": {"dataset": "stdlib", "context_length": 256, "validation_pct": 5},
    "steps": 11_000,
    "micro_batch_size": 8,
    "optimizer": {"kind": "adamw", "learning_rate": 4e-3},
    "report_every_steps": 100,
    "validate_every_steps": 1000,
    "checkpoint": {"every_steps": 1000},
}
RECIPES: dict[str, list[dict[str, Any]]] = {
    "bf16": [{"method": "cast"}],
    "rtn int8 g32": [{"method": "rtn", "bits": 8}],
    "rtn int4 g32": [{"method": "rtn", "bits": 4}],
    "gptq int4 g32": [{"method": "gptq", "bits": 4}],
    "awq int4 g32": [{"method": "awq", "bits": 4}],
    "int8 dynamic": [{"method": "int8_dynamic"}],
    "smoothquant": [{"method": "smoothquant"}],
    "magnitude 50%": [{"method": "magnitude"}],
    "wanda 50%": [{"method": "wanda"}],
    "sparsegpt 50%": [{"method": "sparsegpt"}],
    "magnitude 2:4": [{"method": "magnitude", "pattern": {"kind": "n_m"}}],
    "wanda 2:4": [{"method": "wanda", "pattern": {"kind": "n_m"}}],
    "sparsegpt 2:4": [{"method": "sparsegpt", "pattern": {"kind": "n_m"}}],
    "structured 30% mlp": [{"method": "structured", "mlp_ratio": 0.3}],
}
_CALIBRATION = {"dataset": "stdlib", "num_samples": 64, "length": 256}
_WINDOW = 256
_VOCABULARY = 4096
_ONNX_SHAPES = ((1, 8), (1, 32), (8, 32), (8, 128))
"""Batch and length: what a completion computes on an edge machine, and what a batch scores."""


def onnx_speed(*, repeat: int) -> dict[str, object]:
    """Return tokens/s of ONNX Runtime in fp32, int8 and int4 by batch and length, and the ratio of int8 to fp32."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=_VOCABULARY, hidden_size=512, intermediate_size=1408, num_hidden_layers=8, num_attention_heads=8,
        max_position_embeddings=256,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    model.train(mode=False)
    with tempfile.TemporaryDirectory() as name:
        graphs = {precision: Path(name, f"{precision}.onnx") for precision in ("fp32", "int8", "int4")}
        write_graph(graphs["fp32"], model, OnnxOptions())
        for precision in ("int8", "int4"):
            round_graph(graphs["fp32"], graphs[precision], OnnxOptions.model_validate({"precision": precision}))
        sizes = {precision: path.stat().st_size for precision, path in graphs.items()}
        runners = {precision: open_graph(path) for precision, path in graphs.items()}
        speeds = {f"{batch}x{length}": _alternate(runners, batch, length, repeat) for batch, length in _ONNX_SHAPES}
    medians = {
        shape: {precision: statistics.median(samples) for precision, samples in found.items()}
        for shape, found in speeds.items()
    }
    return {
        "onnx_tokens_per_s": {
            shape: {precision: spread(samples) for precision, samples in found.items()}
            for shape, found in speeds.items()
        },
        "onnx_bytes": sizes,
        "onnx_int8_ratio": {shape: round(found["int8"] / found["fp32"], 2) for shape, found in medians.items()},
        "onnx_parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


def quality() -> dict[str, object]:
    """Return perplexity on held-out text and bytes on disk of the model under each recipe."""
    calibration_SC, held_out_SC = _windows(is_held_out=False)[:64], _windows(is_held_out=True)[:256]
    table: dict[str, object] = {"dense": {"perplexity": _perplexity(load_pretrained(MODEL), held_out_SC)}}
    for label, steps in RECIPES.items():
        model = load_pretrained(MODEL)
        model.train(mode=False)
        model.config.use_cache = False
        spec = CompressSpec.model_validate({"model": "m", "recipe": steps, "calibration": _CALIBRATION})
        session = Session(model, samples_SC=calibration_SC)
        result = apply_recipe(session, spec, PeakMemory(torch.device("cpu")), lambda _: None)
        table[label] = {
            "perplexity": _perplexity(model, held_out_SC),
            "bytes": result.bytes_after,
            "of_dense": round(result.bytes_after / result.bytes_before, 3),
        }
    return table


def train() -> None:
    """Train the model of the quality table, and keep it as bf16."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torchrun(TRAIN_SPEC, dataset=stdlib_files(folder / "text", max_bytes=CORPUS_BYTES), folder=folder)
        (made,) = folder.glob("run-*/out/model")
        spec = folder / "export.json"
        target = {"format": "hugging_face", "dtype": "bf16"}
        spec.write_text(json.dumps({"kind": "export", "model": str(made), "target": target}))
        command = [sys.executable, "-m", "workers.runtime", str(spec), "--output-dir", str(folder / "bf16")]
        subprocess.run(command, check=True)
        shutil.rmtree(MODEL, ignore_errors=True)
        shutil.copytree(folder / "bf16" / "export", MODEL)
    (MODEL / "spec.json").write_text(json.dumps(TRAIN_SPEC, indent=1) + "\n")


def _windows(*, is_held_out: bool) -> torch.Tensor:
    """Return token windows of the documents that training has held out, or of the others, in a random order."""
    with tempfile.TemporaryDirectory() as name:
        corpus = stdlib_files(Path(name), max_bytes=CORPUS_BYTES)
        pieces = read_pieces(corpus, survey(corpus), TRAIN_SPEC["data"]["validation_pct"])
        text = "".join(piece.text for piece in pieces if piece.is_validation == is_held_out)
    ids = load_model_tokenizer(MODEL).tokenizer.encode(text, add_special_tokens=False).ids
    windows_SC = torch.tensor(ids[: len(ids) // _WINDOW * _WINDOW]).view(-1, _WINDOW)
    return windows_SC[torch.randperm(len(windows_SC), generator=torch.Generator().manual_seed(7))]


@torch.inference_mode()
def _perplexity(model: PreTrainedModel, windows_SC: torch.Tensor) -> float:
    module: nn.Module = model
    losses = [
        float(token_loss(module(input_ids=batch[:, :-1], use_cache=False).logits, batch[:, 1:]))
        for batch in torch.split(windows_SC, 32)
    ]
    return round(math.exp(statistics.fmean(losses)), 4)


def _alternate(runners: Mapping[str, LogitsOf], batch: int, length: int, repeat: int) -> dict[str, list[float]]:
    """Run the graphs in turn, after a warm-up of each; return the tokens/s of every run."""
    tokens_BC = np.random.default_rng(0).integers(0, _VOCABULARY, (batch, length), dtype=np.int64)
    speeds: dict[str, list[float]] = {precision: [] for precision in runners}
    for turn in range(repeat + 1):
        for precision, run in runners.items():
            began = time.perf_counter()
            run(tokens_BC)
            if turn:
                speeds[precision].append(batch * length / (time.perf_counter() - began))
    return speeds


def main() -> None:
    """Print the tables, or make the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--train", action="store_true", help="make the model of the quality table")
    given = parser.parse_args()
    if given.train:
        train()
        return
    table = quality() if MODEL.is_dir() else "left out: there is no benchmarks/compression_model; run with --train"
    say("compression", **onnx_speed(repeat=given.repeat), quality=table)


if __name__ == "__main__":
    main()
