"""Whether the model that a job starts from can be split over its mesh, told when it is submitted."""

from apps.core.errors import InvalidInput
from apps.model_registry.layout import read_config
from apps.model_registry.models import ModelVersion
from apps.storage.selectors import stored_files
from workers.contract.communication import BF16Compression, EveryStep, FP16Compression
from workers.contract.distribution import DistributionError, ModelShape, shape_of_config
from workers.contract.elastic import node_counts, spec_on
from workers.contract.jobs import AnySpec, Resources
from workers.contract.training import TrainSpec, check_distribution

_STATELESS = (EveryStep, FP16Compression, BF16Compression)
"""Methods after which a checkpoint knows all there is, whatever the number of ranks that goes on from it."""


def check_mesh(*, spec: AnySpec, resources: Resources, version: ModelVersion | None = None) -> None:
    """Check a train spec's distribution on each number of nodes that its attempts may have.

    ``version`` is what the job starts from. Where it has no readable configuration, its ranks decide.

    Raises:
        InvalidInput: the field under ``spec.distribution``, with the arithmetic and, of an elastic job, the size.
    """
    if not isinstance(spec, TrainSpec):
        return
    counts = node_counts(resources, spec)
    method = spec.distribution.communication
    if len(counts) > 1 and not isinstance(method, _STATELESS):
        raise InvalidInput(
            f"{method.kind} can be resumed on the same number of ranks alone, so nodes cannot come and go: "
            "leave min_nodes and max_nodes empty, or use communication.kind=every_step, fp16 or bf16.",
            field="spec.distribution.communication",
        )
    for count in counts:
        sized = spec_on(spec, nodes=resources.nodes, num_nodes=count)
        try:
            shape = _shape(spec, version)
            check_distribution(sized, world_size=count * resources.slots_per_node, shape=shape)
        except DistributionError as error:
            source = f"{version}: " if version is not None else ""
            size = f" (on {count} of {counts[0]} to {counts[-1]} nodes)" if len(counts) > 1 else ""
            raise InvalidInput(f"{source}{error}{size}.", field=f"spec.{error.field}") from error


def _shape(spec: TrainSpec, version: ModelVersion | None) -> ModelShape | None:
    """Read the version's configuration, where it matters how the model is built."""
    if version is None or spec.distribution.mesh.tp * spec.distribution.mesh.pp == 1:
        return None
    config = read_config(stored_files(version.file_set))
    return shape_of_config(config) if "model_type" in config else None
