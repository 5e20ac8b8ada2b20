"""WebSocket addresses: each app lists its own in ``routing.websocket_urlpatterns``."""

from channels.routing import URLRouter

from controlplane.discovery import patterns_of


def websocket_router() -> URLRouter:
    """Return the router over every app's sockets."""
    return URLRouter(patterns_of("routing", "websocket_urlpatterns"))
