"""The device mesh: which rank stands where, and which ranks talk along an axis.

Axes from the outermost in: ``pp``, ``dp_replicate``, ``dp_shard``, ``tp``, so that the ranks that talk most (tensor
parallel) are neighbours on one node and those that talk least (pipeline) may be far apart. Axes of one rank are left
out of the torch mesh: each axis costs process groups.
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from workers.contract.distribution import Degrees

AXES = ("pp", "dp_replicate", "dp_shard", "tp")


@dataclass(frozen=True)
class Mesh:
    """The mesh as one rank sees it."""

    degrees: Degrees
    rank: int
    torch_mesh: DeviceMesh | None
    """Only the axes with more than one rank; None when plain data parallelism needs no groups of its own."""

    def size(self, axis: str) -> int:
        """Ranks along the axis."""
        return int(getattr(self.degrees, axis))

    def coordinate(self, axis: str) -> int:
        """Where this rank stands on the axis."""
        stride = 1
        for inner in reversed(AXES):
            if inner == axis:
                return self.rank // stride % self.size(axis)
            stride *= self.size(inner)
        raise KeyError(axis)

    @property
    def data_rank(self) -> int:
        """Which share of the global batch this rank works on."""
        return self.coordinate("dp_replicate") * self.degrees.dp_shard + self.coordinate("dp_shard")

    @property
    def data_size(self) -> int:
        """Shares of the global batch."""
        return self.degrees.dp

    def axis(self, name: str) -> DeviceMesh:
        """Return the torch mesh of one axis."""
        assert self.torch_mesh is not None
        return self.torch_mesh[name]

    def group(self, name: str) -> dist.ProcessGroup:
        """Return the ranks that differ from this one along the axis alone."""
        if self.torch_mesh is None:  # plain data parallelism: everybody
            assert dist.group.WORLD is not None
            return dist.group.WORLD
        return self.axis(name).get_group()


def make_mesh(degrees: Degrees, *, rank: int, device: torch.device, is_sharded: bool) -> Mesh:
    """Build the mesh; with groups of their own only where some axis beside ``dp_replicate`` is used. A collective."""
    wide = [axis for axis in AXES if getattr(degrees, axis) > 1]
    if not is_sharded and wide in ([], ["dp_replicate"]):
        return Mesh(degrees, rank, None)
    if is_sharded and "dp_shard" not in wide and degrees.dp > 1:
        wide = [axis for axis in AXES if axis in wide or axis == "dp_shard"]
    if not wide:
        return Mesh(degrees, rank, None)
    shape = tuple(int(getattr(degrees, axis)) for axis in wide)
    return Mesh(degrees, rank, init_device_mesh(device.type, shape, mesh_dim_names=tuple(wide)))
