"""What a person writes to submit a job: a file with a spec, or with a whole request around one."""

from pathlib import Path
from typing import Any

Request = dict[str, Any]
"""The keys ``spec``, and where they are said ``name``, ``resources`` and ``priority``."""


def read_request(path: Path) -> Request:
    """Read a spec file: a bare spec becomes a request.

    Raises:
        CoxswainError: it is neither.
    """
    from coxswain.client import CoxswainError

    try:
        return parse_request(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no UTF-8 either
        raise CoxswainError(f"{path}: {error}") from error


def parse_request(text: str) -> Request:
    """Read a spec or a request from YAML, of which JSON is a part.

    Raises:
        ValueError: it is neither; the message says what it lacks.
    """
    import yaml

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"this is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError("there is no mapping in it")  # noqa: TRY004 (of what was written, not of our own)
    if "spec" in content:
        return content
    if "kind" not in content:
        raise ValueError("it has neither a `kind` (a spec) nor a `spec` (a whole request)")
    return {"spec": content}
