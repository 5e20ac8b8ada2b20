"""The state of a rank's random generators, by name."""

import torch
import torch.distributed as dist

from workers.runtime.checkpoint import Tensors


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
