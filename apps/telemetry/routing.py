"""WebSocket addresses of telemetry."""

from django.urls import path

from apps.telemetry.consumers import StreamConsumer

websocket_urlpatterns = [path("ws/v1/stream", StreamConsumer.as_asgi())]
