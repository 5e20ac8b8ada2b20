"""A request changes threads for its view alone, not once for every middleware."""

from typing import Any
from unittest import mock

from asgiref.sync import SyncToAsync
from asgiref.testing import ApplicationCommunicator
from django.core.handlers.asgi import ASGIHandler


async def test_all_middleware_runs_in_the_thread_of_the_view() -> None:
    crossings: list[str] = []
    real = SyncToAsync.__call__

    async def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        crossings.append(getattr(self.func, "__qualname__", repr(self.func)))
        return await real(self, *args, **kwargs)

    scope = {
        "type": "http", "method": "GET", "path": "/healthz", "query_string": b"", "headers": [(b"host", b"localhost")],
    }  # fmt: skip
    handler = ASGIHandler()
    with mock.patch.object(SyncToAsync, "__call__", counted):
        client = ApplicationCommunicator(handler, scope)
        await client.send_input({"type": "http.request", "body": b""})
        answer = await client.receive_output(timeout=10)
    assert answer["status"] == 200
    middleware = [name for name in crossings if name.endswith((".process_request", ".process_response"))]
    assert not middleware, f"these run on the event loop and cross to a thread each: {middleware}"
