"""Errors that are meant for a person: their exit codes, and how they are shown. Imports the client only when needed."""

import json
import sys

from coxswain.cli import output

_NOT_YOURS = frozenset({401, 403, 404})


def exit_code(error: Exception) -> int | None:
    """The exit code of an expected error; None for anything unexpected, which is a bug and shows its traceback."""
    from coxswain.client.errors import ApiError, CoxswainError, JobDidNotSucceed, NotFound, Unreachable
    from coxswain.stack.errors import StackError

    match error:
        case Unreachable():
            return output.EXIT_UNREACHABLE
        case JobDidNotSucceed():
            return output.EXIT_JOB_FAILED
        case NotFound():
            return output.EXIT_NOT_FOUND
        case ApiError() if error.status in _NOT_YOURS:
            return output.EXIT_NOT_FOUND
        case CoxswainError() | StackError() | TimeoutError() | OSError():
            return output.EXIT_FAILED
    return None


def print_failure(error: Exception, code: int, *, as_json: bool) -> None:
    """Write what happened, to which field, what to do, and the request id, to stderr."""
    from coxswain.client.errors import ApiError

    if not as_json:
        output.print_error(str(error))
        return
    document: dict[str, object] = {"error": str(error), "exit_code": code}
    if isinstance(error, ApiError):
        document |= {
            "error": error.title, "status": error.status, "code": error.code, "detail": error.detail,
            "errors": [{"field": field.field, "message": field.message} for field in error.errors],
            "remedy": error.remedy, "request_id": error.request_id,
        }  # fmt: skip
    sys.stderr.write(json.dumps(document) + "\n")
