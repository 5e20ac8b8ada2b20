"""Many tensors travelling as few: a collective per 32 MiB instead of one per parameter.

The order of the tensors is that of the mapping, the same on every rank, and so are the sums' bits.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist

CHUNK_ELEMENTS = 1 << 23


def average(tensors: Sequence[torch.Tensor], group: dist.ProcessGroup | None = None) -> None:
    """Replace every tensor by its mean over the group's ranks. A collective."""
    world_size = dist.get_world_size(group)
    if world_size == 1:
        return
    with torch.no_grad():
        for chunk in chunks(tensors):
            flat = pack(chunk)
            dist.all_reduce(flat, group=group)
            unpack(flat.div_(world_size), chunk)


def chunks(tensors: Sequence[torch.Tensor], limit: int = CHUNK_ELEMENTS) -> Iterator[list[torch.Tensor]]:
    """Yield runs of tensors of one type, of at most ``limit`` elements together or of one tensor that has more."""
    run: list[torch.Tensor] = []
    elements = 0
    for tensor in tensors:
        if run and (elements + tensor.numel() > limit or tensor.dtype is not run[0].dtype):
            yield run
            run, elements = [], 0
        run.append(tensor)
        elements += tensor.numel()
    if run:
        yield run


def pack(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return one contiguous vector with a copy of all values."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def unpack(flat: torch.Tensor, tensors: Sequence[torch.Tensor]) -> None:
    """Copy the vector's values back, in ``pack``'s order."""
    for tensor, view in zip(tensors, views(flat, tensors), strict=True):
        tensor.copy_(view)


def views(flat: torch.Tensor, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return views into the vector with the shapes of ``tensors``, in ``pack``'s order."""
    pieces = flat.split([tensor.numel() for tensor in tensors])  # type: ignore[no-untyped-call]
    return [piece.view_as(tensor) for piece, tensor in zip(pieces, tensors, strict=True)]
