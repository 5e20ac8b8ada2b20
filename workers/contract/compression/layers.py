"""Which layers a method takes, and the data that shows it what they are used for."""

from pydantic import Field

from workers.contract.base import ContractModel


class LayerSelection(ContractModel):
    """Linear layers by the glob patterns of their names, such as ``model.layers.*.mlp.*``."""

    targets: tuple[str, ...] = Field(
        ("*",), min_length=1, max_length=64, title="Layers", description="Glob patterns; a layer needs to match one."
    )
    skip: tuple[str, ...] = Field(
        ("lm_head",), max_length=64, title="Skipped", description="Glob patterns; a layer that matches one is left."
    )


class CalibrationSpec(ContractModel):
    """Samples of a dataset that are run through the model."""

    dataset: str = Field(
        min_length=1,
        max_length=1024,
        title="Dataset",
        description="A dataset name, or `name@3` for one version; a local directory or file without a control plane.",
    )
    num_samples: int = Field(64, ge=1, le=65_536, title="Samples", description="Drawn from the dataset by the seed.")
    length: int = Field(256, ge=8, le=131_072, title="Sample length", description="Tokens.")
    batch_size: int = Field(8, ge=1, le=4096, title="Batch", description="Samples that are run at once.")
    seed: int = Field(1234, ge=0, le=2**63 - 1, title="Seed", description="Draws the samples.")


class MethodSpec(ContractModel):
    """What every method has."""

    layers: LayerSelection = Field(default_factory=LayerSelection, title="Layers")
