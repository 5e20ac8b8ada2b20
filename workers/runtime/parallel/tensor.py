"""Tensor parallelism (TP): attention heads, MLP units and the vocabulary are split over the ``tp`` axis.

Shoeybi et al. (Megatron-LM), arXiv:1909.08053, section 3: column then row, so that the activation between the two
products is never gathered; one sum per sub-layer in forward, one in backward. Sequence parallelism, Korthikanti et
al., arXiv:2205.05198, section 4.2.2: norms and residuals are split along the context. Loss parallelism leaves the
logits split along the vocabulary.
"""

from functools import partial

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard, distribute_module
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
    loss_parallel,
    parallelize_module,
)

from workers.contract.distribution import TensorParallel
from workers.runtime.parallel.assembly import Assembly
from workers.runtime.parallel.plans import DecoderPart

_SEQUENCE = 1  # dim of C in hidden states (B, C, D)
_HEADS = 2  # dim of heads in queries and keys (B, C, heads, head size)


class Replicated(ParallelStyle):
    """A module that computes the same on every rank, with its parameters as DTensors like all others."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        # torch's annotations forget that the two functions replace inputs and outputs
        return distribute_module(module, device_mesh, None, _replicate_inputs, _local_output)  # type: ignore[arg-type]


def _replicate_inputs(_module: nn.Module, inputs: tuple[torch.Tensor, ...], mesh: DeviceMesh) -> tuple[DTensor, ...]:
    return tuple(DTensor.from_local(each, mesh, [Replicate()], run_check=False) for each in inputs)


def _local_output(_module: nn.Module, output: DTensor, _mesh: DeviceMesh) -> torch.Tensor:
    return output.to_local()


def split_layers(assembly: Assembly) -> None:
    """Split every part over the ``tp`` axis."""
    if assembly.mesh.degrees.tp == 1:
        return
    options = assembly.spec.distribution.tensor_parallel
    mesh = assembly.mesh.axis("tp")
    for part in assembly.parts.modules:
        assert isinstance(part, DecoderPart)
        parallelize_module(part, mesh, _plan(part, options))
        if options.sequence_parallel:
            part.sequence_split = mesh.size()
        if assembly.is_tied and part.is_first and part.is_last:  # both were split alike, into two parameters
            part.lm_head.weight = part.model.get_submodule("embed_tokens").weight
    if options.loss_parallel:
        assembly.loss = _split_loss
        assembly.around_step = loss_parallel
    assembly.is_sharded = True


def _plan(part: DecoderPart, options: TensorParallel) -> dict[str, ParallelStyle]:
    hidden: Placement = Shard(_SEQUENCE) if options.sequence_parallel else Replicate()
    norm = partial(SequenceParallel, use_local_output=True) if options.sequence_parallel else Replicated
    plan: dict[str, ParallelStyle] = {}
    if part.is_first:
        plan["model.embed_tokens"] = RowwiseParallel(input_layouts=Replicate(), output_layouts=hidden)
    for name, layer in part.model.get_submodule("layers").named_children():
        plan |= {f"model.layers.{name}.{key}": style for key, style in _layer_plan(layer, hidden).items()}
        plan |= {f"model.layers.{name}.{key}": norm() for key in ("input_layernorm", "post_attention_layernorm")}
    if part.is_last:
        plan["model.norm"] = norm()
        plan["lm_head"] = ColwiseParallel(
            input_layouts=hidden,
            output_layouts=Shard(-1) if options.loss_parallel else Replicate(),
            use_local_output=not options.loss_parallel,
        )
    return plan


def _layer_plan(layer: nn.Module, hidden: Placement) -> dict[str, ParallelStyle]:
    plan: dict[str, ParallelStyle] = {
        "self_attn": PrepareModuleInput(
            input_kwarg_layouts={"hidden_states": hidden}, desired_input_kwarg_layouts={"hidden_states": Replicate()}
        ),
        "mlp": PrepareModuleInput(input_layouts=(hidden,), desired_input_layouts=(Replicate(),)),
        "self_attn.o_proj": RowwiseParallel(output_layouts=hidden),
        "mlp.down_proj": RowwiseParallel(output_layouts=hidden),
    }
    columns = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj")
    plan |= {name: ColwiseParallel() for name in columns}
    for name in ("q_norm", "k_norm"):  # Qwen3: over each head's own dimensions, one gain for all heads
        if hasattr(layer.get_submodule("self_attn"), name):
            plan[f"self_attn.{name}"] = SequenceParallel(sequence_dim=_HEADS, use_local_output=True)
    return plan


def _split_loss(logits_BCV: torch.Tensor, targets_BC: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy of logits that are split along V."""
    loss = nn.functional.cross_entropy(logits_BCV.flatten(0, 1).float(), targets_BC.flatten())
    assert isinstance(loss, DTensor)
    return loss.full_tensor()
