"""No request holds the server's disk: Django writes a whole body to a temporary file before a view can refuse it."""

from collections.abc import Awaitable, Callable
from typing import Any

from apps.core.problems import CONTENT_TYPE, problem
from apps.core.renderers import dump_json

MAX_BODY_BYTES = 128 * 1024 * 1024
"""More than a part of the largest upload has."""

Application = Callable[[Any, Any, Any], Awaitable[Any]]


class BodyLimit:
    """Answers 413 to a body that is announced or found to be larger, and reads no further."""

    def __init__(self, application: Application, *, limit_bytes: int = MAX_BODY_BYTES) -> None:
        self.application = application
        self.limit_bytes = limit_bytes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if declared.isdigit() and int(declared) > self.limit_bytes:
            await self._refuse(send)
            return
        received = 0
        is_refused = False

        async def counted_receive() -> Any:
            nonlocal received, is_refused
            message = await receive()
            received += len(message.get("body", b""))
            if received <= self.limit_bytes:
                return message
            is_refused = True
            await self._refuse(send)
            return {"type": "http.disconnect"}  # Django drops what it has and answers nothing more

        async def send_unless_refused(message: Any) -> None:
            if not is_refused:
                await send(message)

        await self.application(scope, counted_receive, send_unless_refused)

    async def _refuse(self, send: Any) -> None:
        document = problem(413, detail=f"A body holds at most {self.limit_bytes} bytes.")
        headers = [(b"content-type", CONTENT_TYPE.encode()), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": dump_json(document)})
