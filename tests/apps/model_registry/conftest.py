"""Versions of a model, made of the smallest real model directory."""

import json
import struct
from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts.models import User
from apps.model_registry import services
from apps.model_registry.models import ModelVersion
from apps.projects.models import Project
from tests.apps.storage.factories import make_file_set


def safetensors(*shapes: tuple[int, ...]) -> bytes:
    """Write float32 zeros in the format by hand."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for index, shape in enumerate(shapes):
        size = 4
        for length in shape:
            size *= length
        header[f"t{index}"] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + b"\0" * offset


MODEL_FILES = {
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors": safetensors((2, 3), (4,)),
    "tokenizer/tokenizer.json": b"{}",
}

MakeVersion = Callable[..., ModelVersion]


@pytest.fixture
def make_version(project: Project, editor: User) -> MakeVersion:
    """Make the next version of ``tiny``."""

    def make(model_name: str = "tiny", **fields: Any) -> ModelVersion:
        file_set = make_file_set(project.workspace, editor, MODEL_FILES)
        values = {"project": project, "created_by": editor, "file_set": file_set} | fields
        return services.create_version(model_name=model_name, **values)

    return make
