"""Whether a recipe, an export or a student fits the version it names, told when it is submitted."""

from collections.abc import Sequence

from apps.core.errors import FieldError, InvalidInput
from apps.datasets.models import DatasetVersion
from apps.model_registry.layout import read_config
from apps.model_registry.models import ModelVersion
from apps.storage.selectors import stored_files
from workers.contract.compression.fit import Misfit, find_misfits
from workers.contract.compression.layers import CalibrationSpec
from workers.contract.compression.recipe import CompressSpec
from workers.contract.distillation import find_student_misfits
from workers.contract.export import ExportSpec, find_export_misfits
from workers.contract.training import TrainSpec


def check_fit(*, spec: CompressSpec, version: ModelVersion) -> None:
    """Compare a recipe with the model's configuration.

    Raises:
        InvalidInput: with the path of each step's field that cannot work on this model.
    """
    _refuse(version, find_misfits(spec, read_config(stored_files(version.file_set))))


def check_export(*, spec: ExportSpec, version: ModelVersion) -> None:
    """Compare what an export asks for with the version's configuration and files.

    Raises:
        InvalidInput: with the path of each field that cannot work on this version.
    """
    files = stored_files(version.file_set)
    _refuse(version, find_export_misfits(spec, read_config(files), {file.path for file in files}))


def check_student(*, spec: TrainSpec, teacher: ModelVersion) -> None:
    """Compare a student with its teacher's configuration.

    Raises:
        InvalidInput: with the path of each field that cannot work with this teacher.
    """
    config = read_config(stored_files(teacher.file_set))
    _refuse(teacher, find_student_misfits(spec, config, teacher_parameters=teacher.num_parameters))


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


def _refuse(version: ModelVersion, misfits: Sequence[Misfit]) -> None:
    if misfits:
        errors = [FieldError(f"spec.{misfit.field}", f"{version}: {misfit.message}") for misfit in misfits]
        raise InvalidInput(f"{errors[0].field}: {errors[0].message}", errors=errors, code="does_not_fit")
