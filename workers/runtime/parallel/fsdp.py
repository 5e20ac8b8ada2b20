"""Fully sharded data parallelism (FSDP2), and its hybrid with replicas (HSDP).

Zhao et al., arXiv:2304.11277; the per-parameter form of torch. Each block gathers its weights just before it runs and
scatters the sum of its gradients. With replicas the sums are averaged over ``dp_replicate`` as well. Works for any
family: the blocks are the model's own list of layers.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, MixedPrecisionPolicy, OffloadPolicy, fully_shard

from workers.contract.distribution import FSDP, ReduceDType
from workers.runtime.parallel.assembly import Assembly, GradientSync
from workers.runtime.parallel.mesh import Mesh


def shard(assembly: Assembly) -> None:
    """Shard the parts over the data-parallel axes where the spec says ``fsdp``."""
    options = assembly.spec.distribution.data_parallel
    if not isinstance(options, FSDP) or assembly.mesh.data_size == 1:
        return
    reduce_dtype = torch.bfloat16 if options.reduce_dtype is ReduceDType.BF16 else torch.float32
    precision = MixedPrecisionPolicy(param_dtype=assembly.dtype, reduce_dtype=reduce_dtype)
    offload = CPUOffloadPolicy(pin_memory=assembly.device.type != "cpu") if options.cpu_offload else OffloadPolicy()
    wrap = partial(
        fully_shard,
        mesh=_data_mesh(assembly.mesh),
        reshard_after_forward=options.reshard_after_forward,
        mp_policy=precision,
        offload_policy=offload,
    )
    for module in assembly.parts.modules:
        for block in blocks(module):
            wrap(block)
        wrap(module)
    assembly.is_placed = True  # a block at a time: the device never holds the whole
    assembly.sync = Reduction(assembly.parts.modules)
    assembly.is_sharded = True


class Reduction(GradientSync):
    """Backward reduces by itself; only told when not to."""

    def __init__(self, modules: tuple[nn.Module, ...]) -> None:
        self._modules = modules

    def accumulating(self) -> AbstractContextManager[object]:
        """Leave gradients local, and whole, within the block."""
        return self._without_sync()

    def settle(self) -> None:
        """Free gathered weights: until a backward does so, the parameters are not the optimizer's."""
        for module in self._modules:
            for each in module.modules():
                if isinstance(each, FSDPModule):
                    each.reshard()

    @contextmanager
    def _without_sync(self) -> Iterator[None]:
        self._set(is_synced=False)
        try:
            yield
        finally:
            self._set(is_synced=True)

    def _set(self, *, is_synced: bool) -> None:
        for module in self._modules:
            assert isinstance(module, FSDPModule)
            module.set_requires_gradient_sync(is_synced)


def blocks(module: nn.Module) -> list[nn.Module]:
    """Return the layers of a decoder: the members of its longest list of modules."""
    lists = [list(each.children()) for each in module.modules() if isinstance(each, nn.ModuleList | nn.ModuleDict)]
    return max(lists, key=len, default=[])


def _data_mesh(mesh: Mesh) -> DeviceMesh:
    assert mesh.torch_mesh is not None
    if mesh.degrees.dp_replicate > 1:
        return mesh.torch_mesh["dp_replicate", "dp_shard"]
    return mesh.torch_mesh["dp_shard"]
