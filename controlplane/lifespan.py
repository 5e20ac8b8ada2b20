"""What a web process does from its first moment to its last: it says that the API is up."""

from typing import Any

from asgiref.sync import sync_to_async

from apps.core.health import WEB, BeatThread
from apps.telemetry.pool import close_pool


class Lifespan:
    """The ASGI lifespan protocol: beats while the server runs."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        beats = BeatThread(WEB)
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                beats.start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await sync_to_async(beats.stop, thread_sensitive=False)()
                await close_pool()
                await send({"type": "lifespan.shutdown.complete"})
                return
