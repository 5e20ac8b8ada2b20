"""The ASGI application: HTTP to Django, WebSocket to Channels."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings.production")

from django.core.asgi import get_asgi_application

_http = get_asgi_application()  # sets Django up: what follows reads its models

from channels.routing import ProtocolTypeRouter  # noqa: E402

from apps.accounts.sockets import SocketAuthentication  # noqa: E402
from apps.core.sockets import OriginCheck  # noqa: E402
from apps.telemetry.asgi import TelemetryIngest  # noqa: E402
from controlplane.lifespan import Lifespan  # noqa: E402
from controlplane.limits import BodyLimit  # noqa: E402
from controlplane.routing import websocket_router  # noqa: E402

application = ProtocolTypeRouter({
    "http": TelemetryIngest(BodyLimit(_http)),
    "websocket": OriginCheck(SocketAuthentication(websocket_router())),
    "lifespan": Lifespan(),
})  # fmt: skip
