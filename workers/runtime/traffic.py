"""Bytes on the wire, counted from the sizes of the collectives' own tensors.

Every way of talking goes through a method of ``ProcessGroup`` (DDP's hooks, FSDP, ZeRO, pipeline, everything of
``torch.distributed``) or through an operator of ``_c10d_functional`` (tensor parallelism). Both are wrapped once in a
process; a call costs a multiplication. The bytes are those this rank sends under the algorithms that backends use for
large tensors: rings (Patarasuk and Yuan, 2009, section 3), where W ranks that reduce n bytes send 2 n (W - 1) / W each,
and that is the least there is; a reduce-scatter costs half of it, but under gloo as much.
What only one rank sends (a broadcast) is shared out over all.
DDP without a communication hook talks from C++ and would not be seen; ours always has one. Left out: barriers, the
headers of objects, the store, and TCP's own overhead.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import _resolve_process_group  # type: ignore[attr-defined]

Share = Callable[[int, str], float]
"""World size and type of device (gloo sends what is on a CPU) to the bytes sent for each byte that counts."""


def _reduced(world_size: int, _device: str) -> float:
    return 2 * (world_size - 1) / world_size


def _spread(world_size: int, _device: str) -> float:
    return (world_size - 1) / world_size


def _to_others(world_size: int, _device: str) -> float:
    return world_size - 1


def _scattered(world_size: int, device: str) -> float:
    """Of an output: gloo reduces all of it for everybody, and each rank keeps its share."""
    return _to_others(world_size, device) * (2 if device == "cpu" else 1)


def _scattered_input(world_size: int, device: str) -> float:
    return _scattered(world_size, device) / world_size


def _once(_world_size: int, _device: str) -> float:
    return 1.0


_METHODS: dict[str, tuple[int, Share]] = {
    # method of a process group: place of the tensors that count, bytes sent for each of theirs
    "allreduce": (0, _reduced),
    "allreduce_coalesced": (0, _reduced),
    "broadcast": (0, _spread),
    "reduce": (0, _spread),
    "scatter": (0, _to_others),
    "gather": (1, _spread),
    "allgather": (1, _to_others),
    "allgather_coalesced": (1, _to_others),
    "allgather_into_tensor_coalesced": (1, _to_others),
    "_allgather_base": (1, _to_others),
    "all_gather_single": (1, _to_others),
    "all_gather_single_coalesced": (1, _to_others),
    "reduce_scatter": (0, _scattered),
    "reduce_scatter_tensor_coalesced": (0, _scattered),
    "_reduce_scatter_base": (0, _scattered),
    "reduce_scatter_single": (0, _scattered),
    "reduce_scatter_single_coalesced": (0, _scattered),
    "alltoall": (1, _spread),
    "alltoall_base": (1, _spread),
    "all_to_all_single": (1, _spread),
    "send": (0, _once),
}
_OPERATORS: dict[str, Share] = {
    # functional operator: bytes sent for each of its first argument; the last argument names the group
    "all_reduce": _reduced,
    "all_reduce_": _reduced,
    "all_reduce_coalesced": _reduced,
    "broadcast": _spread,
    "all_gather_into_tensor": _to_others,
    "all_gather_into_tensor_coalesced": _to_others,
    "reduce_scatter_tensor": _scattered_input,
    "reduce_scatter_tensor_coalesced": _scattered_input,
    "all_to_all_single": _spread,
}


class _Counter:
    """Bytes this process has sent; several threads may send."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_installed = False
        self.sent_bytes = 0.0

    def add(self, tensors: object, share: Share, world_size: int) -> None:
        """Count a call."""
        flat = list(_flatten(tensors))
        sent = sum(tensor.numel() * tensor.element_size() * share(world_size, tensor.device.type) for tensor in flat)
        with self._lock:
            self.sent_bytes += sent

    def install(self) -> None:
        """Wrap what sends, once in a process."""
        if self._is_installed or not dist.is_available():
            return
        self._is_installed = True
        for name, (place, share) in _METHODS.items():
            if (method := getattr(dist.ProcessGroup, name, None)) is not None:
                setattr(dist.ProcessGroup, name, self._count_method(method, place, share))
        for name, share in _OPERATORS.items():
            operator = getattr(torch.ops._c10d_functional, name)
            setattr(torch.ops._c10d_functional, name, _Operator(operator, share, self))

    def _count_method(self, method: Callable[..., Any], place: int, share: Share) -> Callable[..., Any]:
        def counted(group: dist.ProcessGroup, *args: Any, **kwargs: Any) -> Any:
            if len(args) > place:
                self.add(args[place], share, group.size())
            return method(group, *args, **kwargs)

        return counted


class _Operator:
    """An operator that counts what it sends; everything else of it is the original's."""

    def __init__(self, operator: Any, share: Share, counter: _Counter) -> None:
        self._operator = operator
        self._share = share
        self._counter = counter

    def __call__(self, tensors: Any, *args: Any) -> Any:
        self._counter.add(tensors, self._share, _resolve_process_group(args[-1]).size())
        return self._operator(tensors, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._operator, name)


_COUNTER = _Counter()


class Traffic:
    """What a run's steps send."""

    def __init__(self) -> None:
        _COUNTER.install()
        self._bytes = 0.0
        self._steps = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a step, and what is sent within the block: not validation, checkpoints or reports."""
        before = _COUNTER.sent_bytes
        yield
        self._bytes += _COUNTER.sent_bytes - before
        self._steps += 1

    def take_bytes_per_step(self) -> float:
        """Return what this rank has sent in a step, the mean since the last call."""
        mean = self._bytes / max(1, self._steps)
        self._bytes, self._steps = 0.0, 0
        return mean


def _flatten(tensors: object) -> Iterator[torch.Tensor]:
    if isinstance(tensors, torch.Tensor):
        yield tensors
        return
    assert isinstance(tensors, list | tuple)
    for each in tensors:
        yield from _flatten(each)
