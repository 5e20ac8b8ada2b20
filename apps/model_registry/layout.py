"""What a directory must hold to be a model: the Hugging Face layout with weights as safetensors, and nothing that runs.

Headers are read as the format's description has them (github.com/huggingface/safetensors): eight bytes of length,
little-endian, then a JSON object of tensors. No weight is read.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from apps.core.errors import FieldError, InvalidInput
from apps.storage.backend import storage
from apps.storage.selectors import StoredFile
from workers.contract.manifest import FileRef

CONFIG_FILE = "config.json"
_MAX_HEADER_BYTES = 100_000_000
_MAX_CONFIG_BYTES = 10_000_000
_RUNS_WHEN_LOADED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".py", ".so")


class _Tensor(msgspec.Struct):
    dtype: str
    shape: list[Annotated[int, msgspec.Meta(ge=0)]]
    data_offsets: tuple[int, int]


def check_layout(files: Sequence[FileRef]) -> None:
    """Refuse what is no model directory.

    Raises:
        InvalidInput: no configuration, no weights, or a file whose loading would run code (code ``not_a_model``).
    """
    paths = {file.path for file in files}
    errors = [
        FieldError(f"files.{index}.path", f"{file.path!r} may run code when it is loaded; weights must be safetensors.")
        for index, file in enumerate(files)
        if file.path.endswith(_RUNS_WHEN_LOADED)
    ]
    if CONFIG_FILE not in paths:
        errors.append(
            FieldError("files", f"There is no {CONFIG_FILE}: this is not a model in the Hugging Face layout.")
        )
    if not any(is_weights(path) for path in paths):
        errors.append(FieldError("files", "There is no .safetensors file: the model has no weights."))
    if errors:
        raise InvalidInput(errors[0].message, errors=errors[:100], code="not_a_model")


def read_config(files: Sequence[StoredFile]) -> dict[str, Any]:
    """Return the model's ``config.json``; empty when there is none, or it is no JSON object."""
    file = next((file for file in files if file.path == CONFIG_FILE and file.size_bytes <= _MAX_CONFIG_BYTES), None)
    if file is None:
        return {}
    with storage().open(file.storage_key) as stream:
        content = stream.read()
    try:
        return msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def is_weights(path: str) -> bool:
    """Tell whether a file holds weights: those that lie beside the configuration."""
    return path.endswith(".safetensors") and "/" not in path


def count_parameters(files: Sequence[StoredFile]) -> int:
    """Return the number of elements of all tensors in the weights.

    Raises:
        InvalidInput: a file is not what its name says (code ``not_a_model``).
    """
    return sum(_count_elements(file) for file in files if is_weights(file.path))


def _count_elements(file: StoredFile) -> int:
    with storage().open(file.storage_key) as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(_MAX_HEADER_BYTES, file.size_bytes - 8):
            raise _not_safetensors(file)
        header = stream.read(length)
    try:
        tensors = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        tensors.pop("__metadata__", None)
        shapes = [msgspec.json.decode(tensor, type=_Tensor).shape for tensor in tensors.values()]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_safetensors(file) from error
    return sum(math.prod(shape) for shape in shapes)


def _not_safetensors(file: StoredFile) -> InvalidInput:
    return InvalidInput(f"{file.path} is not a safetensors file.", field="files", code="not_a_model")
