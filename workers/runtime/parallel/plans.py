"""How a family of models is taken apart: its decoder as a part that runs some of the layers.

The families of ``SPLITTABLE_FAMILIES`` name their modules alike (Llama's names), which is what the code here and the
tensor-parallel plan rely on; they differ in biases, in norms of queries and keys, and in their configs.
"""

import torch
from torch import nn
from transformers import PreTrainedModel

from workers.contract.distribution import SPLITTABLE_FAMILIES, ModelShape, shape_of_config
from workers.runtime.errors import UserError

TIED_COPY = "lm_head.weight"
TIED_ORIGINAL = "model.embed_tokens.weight"


class DecoderPart(nn.Module):
    """Some layers of a decoder, with the embedding if they are the first and the head if they are the last.

    Modules keep the names they have in the whole model. Without padding the causal mask is implied, as it is in the
    whole model. B = micro-batch, C = context length, D = width, V = vocabulary.
    """

    def __init__(self, whole: PreTrainedModel, layers: range, *, is_first: bool, is_last: bool) -> None:
        super().__init__()
        decoder = whole.get_submodule("model")
        self.sequence_split = 1
        """Over how many ranks the hidden states are split along C."""
        self.model = nn.Module()
        if is_first:
            self.model.embed_tokens = decoder.get_submodule("embed_tokens")
        self.model.layers = nn.ModuleDict({str(index): decoder.get_submodule(f"layers.{index}") for index in layers})
        self.model.rotary_emb = decoder.get_submodule("rotary_emb")
        if is_last:
            self.model.norm = decoder.get_submodule("norm")
            self.lm_head = whole.get_submodule("lm_head")
        self.is_first = is_first
        self.is_last = is_last

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map tokens (B, C) or hidden states (B, C, D) to hidden states, or to logits (B, C, V) in the last part."""
        hidden_BCD = self.model.get_submodule("embed_tokens")(inputs) if self.is_first else inputs
        length = hidden_BCD.shape[1] * self.sequence_split
        positions_1C = torch.arange(length, device=hidden_BCD.device).unsqueeze(0)
        rotary = self.model.get_submodule("rotary_emb")(hidden_BCD, position_ids=positions_1C)
        for layer in self.model.get_submodule("layers").children():
            hidden_BCD = layer(
                hidden_BCD,
                attention_mask=None,
                position_ids=positions_1C,
                position_embeddings=rotary,
                use_cache=False,
            )
        if not self.is_last:
            return hidden_BCD
        logits_BCV: torch.Tensor = self.lm_head(self.model.get_submodule("norm")(hidden_BCD))
        return logits_BCV


def shape_of(model: PreTrainedModel) -> ModelShape:
    """Return what decides how the model may be split."""
    return shape_of_config(model.config.to_dict())


def check_plan(model: PreTrainedModel, context_length: int) -> None:
    """Check what a family's config may switch on and a part does not do.

    Raises:
        UserError: the model has dropout in its attention, or a window shorter than the context.
    """
    assert model.config.model_type in SPLITTABLE_FAMILIES
    if getattr(model.config, "attention_dropout", 0.0):
        raise UserError(
            f"distribution.mesh: the model's attention_dropout={model.config.attention_dropout} cannot be drawn alike "
            "on ranks that share a layer; set it to 0, or use data_parallel.kind=fsdp"
        )
    window = getattr(model.config, "sliding_window", None)
    if window is not None and getattr(model.config, "use_sliding_window", True) and window < context_length:
        raise UserError(
            f"distribution.mesh: the model attends to a window of {window} tokens, which tp and pp do not do; "
            f"lower data.context_length={context_length}, or use data_parallel.kind=fsdp"
        )


def is_tied(model: PreTrainedModel) -> bool:
    """Tell whether input and output embeddings are one parameter."""
    output: nn.Module | None = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    return output is not None and output.weight is model.get_input_embeddings().weight
