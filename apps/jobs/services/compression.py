"""Whether a recipe fits what it names, told when it is submitted."""

from apps.core.errors import FieldError, InvalidInput
from apps.datasets.models import DatasetVersion
from apps.model_registry.layout import read_config
from apps.model_registry.models import ModelVersion
from apps.storage.selectors import stored_files
from workers.contract.compression.fit import find_misfits
from workers.contract.compression.layers import CalibrationSpec
from workers.contract.compression.recipe import CompressSpec


def check_fit(*, spec: CompressSpec, version: ModelVersion) -> None:
    """Compare a recipe with the model's configuration.

    Raises:
        InvalidInput: with the path of each step's field that cannot work on this model.
    """
    misfits = find_misfits(spec, read_config(stored_files(version.file_set)))
    if misfits:
        errors = [FieldError(f"spec.{misfit.field}", f"{version}: {misfit.message}") for misfit in misfits]
        raise InvalidInput(f"{errors[0].field}: {errors[0].message}", errors=errors, code="does_not_fit")


def check_calibration(*, calibration: CalibrationSpec, dataset_version: DatasetVersion) -> None:
    """Refuse a dataset that is too small however it is tokenized: no token is shorter than a character's bytes.

    Raises:
        InvalidInput: it has fewer bytes than the samples have tokens.
    """
    wanted = calibration.num_samples * calibration.length
    if dataset_version.file_set.size_bytes < wanted:
        raise InvalidInput(
            f"{dataset_version} has {dataset_version.file_set.size_bytes:,} bytes; {calibration.num_samples} samples "
            f"of {calibration.length} tokens need at least {wanted:,}.",
            field="spec.calibration.num_samples",
            remedy="Ask for fewer or shorter samples, or name a larger dataset.",
        )
