"""Folders for services that run as another account when the tests run as root."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def stack_dir() -> Iterator[Path]:
    """A folder everyone may enter: pytest's own temporary folders are closed to other accounts."""
    folder = Path(tempfile.mkdtemp(prefix="cox-stack-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
