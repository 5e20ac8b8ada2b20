"""The ``export`` job: a version in a form that other programs run, compared with the original before it is kept."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from workers.contract.base import ContractModel
from workers.contract.compression.fit import Misfit
from workers.contract.evaluation.fit import is_encoder

OPSET = 20
"""Version of the standard ONNX operators that graphs are written in; int4 adds ``com.microsoft`` version 1."""
TOKENIZER_FILE = "tokenizer.json"
_NO_GGUF = (
    "gguf is not written here: the maintained converter is llama.cpp's convert_hf_to_gguf.py, which is not published "
    "as a package (the gguf package reads and writes the container, and converts no model). Export hugging_face with "
    "dtype=bf16 and run that script on it"
)


class HuggingFaceTarget(ContractModel):
    """A directory that ``transformers`` and vLLM load: config, tokenizer and safetensors."""

    format: Literal["hugging_face"] = "hugging_face"
    dtype: Literal["stored", "fp32", "bf16"] = Field(
        "stored",
        title="Type",
        description="stored: as it is, quantized layers in the compressed-tensors layout; else all layers plain.",
    )


class OnnxOptions(ContractModel):
    """How a graph is made: tokens (batch, length), int64, to logits (batch, length, vocabulary), fp32."""

    precision: Literal["fp32", "int8", "int4"] = Field(
        "fp32",
        title="Precision",
        description="int8: weights and activations of products, rounded as they come; int4: weights in groups.",
    )
    group_size: Literal[16, 32, 64, 128, 256] = Field(
        32, title="Group", description="Weights that share a scale; int4 alone."
    )
    min_agreement: float | None = Field(
        None,
        ge=0,
        le=1,
        title="Least agreement",
        description="Share of positions where int8 or int4 must have torch's likeliest token; empty: 0.8 and 0.5.",
    )


class OnnxTarget(OnnxOptions):
    """An ONNX graph with dynamic batch and length, and the tokenizer."""

    format: Literal["onnx"] = "onnx"


class EdgeBundleTarget(OnnxOptions):
    """One zip file that answers prompts with onnxruntime, numpy and tokenizers alone: graph, tokenizer, program."""

    format: Literal["edge_bundle"] = "edge_bundle"


# A new format is one more member here, and one module in workers.runtime.formats.
AnyTarget = HuggingFaceTarget | OnnxTarget | EdgeBundleTarget


class ExportSpec(ContractModel):
    """Write a model version in a form that other programs run."""

    kind: Literal["export"] = "export"
    version: Literal[1] = 1
    model: str = Field(
        min_length=1,
        max_length=1024,
        title="Model version",
        description="A registry version such as `tiny-llama_v3`; a local directory when run without a control plane.",
    )
    target: Annotated[AnyTarget, Field(discriminator="format")] = Field(
        default_factory=HuggingFaceTarget, title="Format"
    )
    seed: int = Field(1234, ge=0, le=2**63 - 1, title="Seed", description="Draws the tokens of the comparison.")

    @model_validator(mode="before")
    @classmethod
    def _has_a_converter(cls, document: Any) -> Any:
        target = document.get("target") if isinstance(document, Mapping) else None
        if isinstance(target, Mapping) and target.get("format") == "gguf":
            raise ValueError(_NO_GGUF)
        return document


class OutputCheck(ContractModel):
    """The export against torch, on random tokens of one shape."""

    batch: int = Field(ge=1)
    length: int = Field(ge=1)
    max_error: float
    """Largest difference between two logits, over the largest logit of the original."""
    mean_error: float
    """Mean difference, over the same."""
    top1_agreement: float = Field(ge=0, le=1)
    """Share of positions whose likeliest token is the original's."""


class ExportResult(ContractModel):
    """What was written, and how near it is to the original."""

    kind: Literal["export"] = "export"
    format: str
    precision: str
    opset: int | None = None
    size_bytes: int = Field(ge=0)
    """Of all files."""
    source_bytes: int = Field(ge=0)
    """Of the version's weights."""
    requirement: str
    """What the checks had to meet."""
    checks: tuple[OutputCheck, ...]
    answer: str | None = None
    """What the bundle's program said to a prompt, run without torch."""
    duration_s: float = Field(ge=0)


def find_export_misfits(spec: ExportSpec, config: Mapping[str, Any], files: Collection[str]) -> list[Misfit]:
    """Say what of a version with this ``config.json`` and these files cannot be exported; empty if nothing is known."""
    found = []
    target = spec.target
    if not config.get("model_type"):
        found.append(Misfit("model", "its config.json names no model_type, so nothing here can load it"))
    if is_encoder(config):
        found.append(Misfit("model", "it is an encoder, which predicts no next token: only decoders are exported"))
    if TOKENIZER_FILE not in files:
        found.append(Misfit("model", f"it has no {TOKENIZER_FILE}: without a tokenizer nobody can prompt it"))
    is_factored = str(config.get("model_type", "")).startswith("low_rank_")
    if isinstance(target, HuggingFaceTarget) and target.dtype == "stored" and is_factored:
        found.append(
            Misfit("target.dtype", "factored layers have no public layout: choose fp32 or bf16, which join them")
        )
    return found
