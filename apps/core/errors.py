"""Errors of the domain: what was asked cannot be done, and the caller can be told why.

Services raise these; ``apps.core.problems`` turns them into ``application/problem+json`` in one place.
"""
# ruff: noqa: N818 - the names are the refusals themselves, as callers say them

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import ValidationError


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field of the input; ``field`` is a dotted path, empty for the whole."""

    field: str
    message: str


class DomainError(Exception):
    """A refusal with a stable ``code``.

    ``extra`` adds members of their own to the problem document (``mark``, ``current``, ...); ``retry_after_s`` becomes
    the Retry-After header.
    """

    status: ClassVar[int] = 400
    code: str = "invalid"
    title: ClassVar[str] = "The request cannot be carried out"
    remedy: str = ""

    def __init__(
        self,
        detail: str = "",
        *,
        code: str | None = None,
        remedy: str | None = None,
        errors: Sequence[FieldError] = (),
        extra: Mapping[str, object] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.errors = tuple(errors)
        self.extra = dict(extra or {})
        self.retry_after_s = retry_after_s
        if code is not None:
            self.code = code
        if remedy is not None:
            self.remedy = remedy


class InvalidInput(DomainError):
    """A value that the domain refuses; name the field."""

    status = 400
    code = "invalid"
    title = "The input is not valid"

    def __init__(self, detail: str = "", *, field: str = "", **kwargs: Any) -> None:
        if "errors" not in kwargs and detail:
            kwargs["errors"] = (FieldError(field, detail),)
        super().__init__(detail, **kwargs)

    @classmethod
    def from_pydantic(cls, error: ValidationError, *, data: object = None, prefix: str = "") -> Self:
        """Translate a contract's refusal, each path under ``prefix`` (``spec`` gives ``spec.model.hidden_size``).

        ``data`` is what was validated; with it the tags of discriminated unions, which are no keys of the input,
        are left out of the paths.
        """
        errors = pydantic_errors(error, data=data, prefix=prefix)
        first = errors[0] if errors else FieldError(prefix, str(error))
        return cls(f"{first.field or 'input'}: {first.message}", errors=errors)


class NotFound(DomainError):
    """It does not exist, or the caller may not see it."""

    status = 404
    code = "not_found"
    title = "Not found"


class Forbidden(DomainError):
    """The caller sees it but may not do this."""

    status = 403
    code = "forbidden"
    title = "Not allowed"
    remedy = "Ask an owner of the workspace for the role that this needs."


class Conflict(DomainError):
    """It clashes with what is already there."""

    status = 409
    code = "conflict"
    title = "It conflicts with the current state"


class NameTaken(Conflict):
    """Something of its kind has this name already."""

    code = "duplicate"
    title = "The name is taken"
    remedy = "Choose another name, or use what has it."

    def __init__(self, kind: str, name: str, *, field: str = "name") -> None:
        message = f"There is a {kind} named {name!r} already."
        super().__init__(message, errors=[FieldError(field, message)])


class IllegalTransition(Conflict):
    """The target state cannot be reached from the current one."""

    code = "illegal_transition"
    title = "This change of state is not legal"

    def __init__(self, detail: str = "", *, source: str, target: str, **kwargs: Any) -> None:
        self.source, self.target = str(source), str(target)
        kwargs.setdefault("extra", {"source": self.source, "target": self.target})
        super().__init__(detail or f"A change from {self.source} to {self.target} is not legal.", **kwargs)


class StaleFence(Conflict):
    """The report comes from an attempt that is no longer the job's."""

    code = "stale_fence"
    title = "The attempt is over"
    remedy = "Stop this attempt's processes; its reports are no longer taken."

    def __init__(self, detail: str = "", *, reported: int, current: int, **kwargs: Any) -> None:
        self.reported, self.current = reported, current
        kwargs.setdefault("extra", {"reported": reported, "current": current})
        super().__init__(detail or f"Fence {reported} was reported, {current} is current.", **kwargs)


class QuotaExceeded(DomainError):
    """More was asked for than is allowed now."""

    status = 429
    code = "quota_exceeded"
    title = "A limit is reached"


class Unavailable(DomainError):
    """A service behind this one does not answer; asking again later may help."""

    status = 503
    code = "unavailable"
    title = "A service is not available"
    remedy = "Try again in a few seconds."


def pydantic_errors(error: ValidationError, *, data: object = None, prefix: str = "") -> list[FieldError]:
    """List a pydantic error's fields as dotted paths; see ``InvalidInput.from_pydantic``."""
    found = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        path = [str(part) for part in item["loc"]]
        if data is not None:
            path = _input_path(item["loc"], data, is_missing=item["type"] == "missing")
        field = ".".join([prefix, *path] if prefix else path)
        found.append(FieldError(field, item["msg"].removeprefix("Value error, ")))
    return found


def _input_path(loc: tuple[int | str, ...], data: object, *, is_missing: bool) -> list[str]:
    """Walk ``data`` along ``loc``; a part that is no key (a union's tag) is skipped, but for a key that is missing."""
    path: list[str] = []
    here = data
    for index, part in enumerate(loc):
        below = _child(here, part)
        if below is not _MISSING:
            here = below
        elif not (is_missing and index == len(loc) - 1 and isinstance(here, Mapping)):
            continue
        path.append(str(part))
    return path


_MISSING = object()


def _child(data: object, part: int | str) -> object:
    if isinstance(data, Mapping):
        return data.get(part, _MISSING)
    is_index = isinstance(part, int) and isinstance(data, (list, tuple)) and 0 <= part < len(data)
    return data[part] if is_index else _MISSING  # type: ignore[index]
