"""Where a model that is trained comes from: its configuration, a version, or a teacher.

Distillation is a way of getting a model, so it is a source beside the others, with all that says how the student learns
from its teacher. What a certain teacher allows is checked in ``distillation``.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from workers.contract.base import ContractModel


class LlamaConfig(ContractModel):
    """A decoder of the Llama family, built from nothing."""

    source: Literal["config"] = "config"
    hidden_size: int = Field(192, ge=8, le=16384, title="Width", description="Residual stream width.")
    num_layers: int = Field(4, ge=1, le=256, title="Depth", description="Decoder blocks.")
    num_heads: int = Field(6, ge=1, le=256, title="Attention heads", description="Must divide the width.")
    num_kv_heads: int | None = Field(
        None, ge=1, le=256, title="Key-value heads", description="Grouped-query attention; empty means one per head."
    )
    intermediate_size: int = Field(512, ge=8, le=65536, title="MLP width", description="Inner width of the gated MLP.")
    tie_embeddings: bool = Field(default=True, title="Tie embeddings", description="Share input and output embeddings.")
    rope_theta: float = Field(
        10_000.0,
        gt=0,
        title="RoPE base",
        description="Base of the rotary position embedding; longer contexts take a larger one.",
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> "LlamaConfig":
        if self.hidden_size % self.num_heads or (self.hidden_size // self.num_heads) % 2:
            raise ValueError(
                f"hidden_size={self.hidden_size} must be an even multiple of num_heads={self.num_heads}: "
                "every head needs an even number of dimensions"
            )
        if self.num_heads % (self.num_kv_heads or self.num_heads):
            raise ValueError(f"num_kv_heads={self.num_kv_heads} must divide num_heads={self.num_heads}")
        return self


class PretrainedModel(ContractModel):
    """Weights to start from."""

    source: Literal["pretrained"] = "pretrained"
    model: str = Field(
        min_length=1,
        max_length=1024,
        title="Model version",
        description="A registry version such as `tiny-llama_v3`; a local directory when run without a control plane.",
    )


class TeacherLayers(ContractModel):
    """A student made of some of the teacher's blocks, with its embeddings and norms.

    Sanh et al., DistilBERT, arXiv:1910.01108, section 3, initialise a student so.
    """

    source: Literal["teacher_layers"] = "teacher_layers"
    layers: tuple[int, ...] = Field(
        min_length=1, max_length=255, title="Layers", description="Blocks of the teacher that stay, from 0, ascending."
    )

    @model_validator(mode="after")
    def _ascending(self) -> "TeacherLayers":
        if self.layers[0] < 0 or self.layers != tuple(sorted(set(self.layers))):
            raise ValueError(f"layers={list(self.layers)} must be ascending numbers from 0 on, each once")
        return self


class DistilledModel(ContractModel):
    """A smaller student that learns from a teacher's predictions. Hinton et al., arXiv:1503.02531, section 2."""

    source: Literal["distilled"] = "distilled"
    teacher: str = Field(
        min_length=1,
        max_length=1024,
        title="Teacher",
        description="A registry version such as `tiny-llama_v3`; a local directory when run without a control plane.",
    )
    student: Annotated[LlamaConfig | TeacherLayers, Field(discriminator="source")] = Field(title="Student")
    temperature: float = Field(
        2.0, gt=0, le=100, title="Temperature", description="Softens both predictions before they are compared."
    )
    soft_weight: float = Field(
        0.5, gt=0, le=1, title="Teacher's share", description="Of the loss; the rest is that of the true tokens."
    )
    hidden_weight: float = Field(
        0.0,
        ge=0,
        le=1000,
        title="Hidden states",
        description="Weight of the distance between hidden states, after a learned projection; 0 leaves it out.",
    )
    max_parameters: int | None = Field(
        None, ge=1, title="Most parameters", description="Of the student; empty means fewer than the teacher has."
    )


ModelSource = Annotated[LlamaConfig | PretrainedModel | DistilledModel, Field(discriminator="source")]
