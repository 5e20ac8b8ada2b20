"""Whether an evaluation fits what it names, told when it is submitted."""

from apps.core.errors import FieldError, InvalidInput
from apps.model_registry.layout import read_config
from apps.model_registry.models import ModelVersion
from apps.storage.selectors import file_refs, stored_files
from workers.contract.evaluation.fit import find_misfits, measures_of
from workers.contract.evaluation.metrics import NEED_REFERENCE
from workers.contract.evaluation.spec import EvaluateSpec

_TOKENIZER = "tokenizer.json"


def reference_of(*, spec: EvaluateSpec, version: ModelVersion, named: ModelVersion | None) -> ModelVersion | None:
    """Return what a version is compared with: what the spec names, else its parent; None when nothing is compared.

    Raises:
        InvalidInput: the reference is the version itself, or reads texts with another tokenizer.
    """
    if spec.dataset is None:
        return None
    reference = named or version.parent
    wanted = measures_of(spec, read_config(stored_files(version.file_set)), has_reference=reference is not None)
    if reference is None or not NEED_REFERENCE & set(wanted):
        return None
    if reference.pk == version.pk:
        raise InvalidInput(f"{version} cannot be compared with itself.", field="spec.reference")
    if _tokenizer_digest(reference) != _tokenizer_digest(version):
        if named is None and not spec.measure:
            return None  # all that is possible was asked for, and this is not
        raise InvalidInput(
            f"{reference} reads texts with another tokenizer than {version}: their predictions are of other tokens.",
            field="spec.reference",
            remedy="Name a reference with the same tokenizer, or a measure that compares with none.",
        )
    return reference


def check_evaluation(*, spec: EvaluateSpec, version: ModelVersion, has_reference: bool) -> None:
    """Compare an evaluation with the model's configuration.

    Raises:
        InvalidInput: with the path of each field that cannot work on this model (code ``does_not_fit``).
    """
    misfits = find_misfits(spec, read_config(stored_files(version.file_set)), has_reference=has_reference)
    if misfits:
        errors = [FieldError(f"spec.{field}", f"{version}: {message}") for field, message in misfits.items()]
        raise InvalidInput(f"{errors[0].field}: {errors[0].message}", errors=errors, code="does_not_fit")


def _tokenizer_digest(version: ModelVersion) -> str | None:
    return next((file.sha256 for file in file_refs(version.file_set) if file.path == _TOKENIZER), None)
