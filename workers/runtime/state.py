"""The tensors that make up a run's state: weights, optimizer moments, random generators."""

import torch
import torch.distributed as dist
from torch import nn

from workers.runtime.checkpoint import Tensors
from workers.runtime.optimizer import named_state


def training_tensors(model: nn.Module, optimizer: torch.optim.AdamW) -> Tensors:
    """Return the live weights, buffers and optimizer state by name; copying into them restores the run."""
    return {f"model.{name}": tensor for name, tensor in model_tensors(model).items()} | {
        f"optimizer.{name}": tensor for name, tensor in named_state(model, optimizer).items()
    }


def model_tensors(model: nn.Module) -> Tensors:
    """Return the live weights and persistent buffers; tied weights appear once, under their first name."""
    persistent = model.state_dict()
    tensors: Tensors = dict(model.named_parameters())
    tensors |= {name: buffer for name, buffer in model.named_buffers() if name in persistent}
    return {name: tensor.detach() for name, tensor in tensors.items()}


def generator_states(device: torch.device) -> Tensors:
    """Return this rank's random generators as bytes."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def gather_generator_states(device: torch.device, *, rank: int, world_size: int) -> Tensors:
    """Return all ranks' generator states on rank 0, nothing elsewhere. A collective."""
    own = generator_states(device)
    everyone: list[Tensors | None] = [own]
    if world_size > 1:
        everyone = [None] * world_size if rank == 0 else []
        dist.gather_object(own, everyone if rank == 0 else None, dst=0)
    return {
        generator_name(number, kind): state
        for number, states in enumerate(everyone)
        if states is not None
        for kind, state in states.items()
    }


def set_generator_states(states: Tensors, device: torch.device) -> None:
    """Put this rank's random generators back."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


def generator_name(rank: int, kind: str) -> str:
    """Name of a generator's state in a checkpoint."""
    return f"rng.{rank}.{kind}"
