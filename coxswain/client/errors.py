"""What can go wrong when talking to a control plane, in words for a person."""

from dataclasses import dataclass, field
from http import HTTPStatus


@dataclass(frozen=True)
class FieldError:
    """One rejected field."""

    field: str
    message: str


@dataclass
class CoxswainError(Exception):
    """Anything the client raises."""

    title: str

    def __str__(self) -> str:
        return self.title


@dataclass
class Unreachable(CoxswainError):  # noqa: N818 (reads as what happened)
    """No answer came, though the request was repeated."""

    url: str = ""

    def __str__(self) -> str:
        return f"{self.title} ({self.url})"


@dataclass
class ApiError(CoxswainError):
    """The control plane refused; mirrors its problem document."""

    status: int = 0
    code: str = ""
    detail: str = ""
    remedy: str = ""
    request_id: str = ""
    errors: tuple[FieldError, ...] = field(default_factory=tuple)

    @property
    def is_not_found(self) -> bool:
        """There is no such thing, or the caller may not see it."""
        return self.status == HTTPStatus.NOT_FOUND

    def __str__(self) -> str:
        lines = [f"{self.title}: {self.detail}" if self.detail and self.detail != self.title else self.title]
        lines += [f"  {error.field}: {error.message}" if error.field else f"  {error.message}" for error in self.errors]
        if self.remedy:
            lines.append(f"  {self.remedy}")
        if self.request_id:
            lines.append(f"  Request id: {self.request_id}")
        return "\n".join(lines)


class NotFound(CoxswainError):  # noqa: N818 (reads as what happened)
    """What a person named is not there, or they may not see it."""


class JobDidNotSucceed(CoxswainError):  # noqa: N818 (reads as what happened)
    """A job that was waited for ended otherwise."""
