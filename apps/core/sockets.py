"""The door of WebSockets: only our own pages may open one from a browser."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.http.request import split_domain_port, validate_host

Application = Callable[[Any, Any, Any], Awaitable[Any]]


class OriginCheck:
    """Denies a socket whose Origin is another site's: cookies alone do not prove that our page asks.

    Programs send no Origin; the host name they name must still be ours.
    """

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        headers = {name.lower(): value.decode("latin1") for name, value in scope["headers"]}
        is_allowed = origin_allowed(headers.get(b"origin"), headers.get(b"host", ""))
        application: Any = self.application if is_allowed else WebsocketDenier()
        return await application(scope, receive, send)


def origin_allowed(origin: str | None, host: str) -> bool:
    """Return whether a socket may open: a host of ours, and an Origin that is absent, the same, or trusted."""
    allowed_hosts = settings.ALLOWED_HOSTS
    name, _ = split_domain_port(host)
    if not name or not validate_host(name, allowed_hosts):
        return False
    if origin is None:
        return True
    return urlsplit(origin).netloc == host or origin in settings.CSRF_TRUSTED_ORIGINS
