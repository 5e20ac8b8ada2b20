"""Who opens a WebSocket: a program's API token in the Authorization header, else the browser's session."""

from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.db import database_sync_to_async
from channels.security.websocket import WebsocketDenier
from rest_framework.exceptions import AuthenticationFailed

from apps.accounts.authentication import bearer_secret, check_token
from apps.accounts.models import ApiToken
from apps.core.sockets import Application


class SocketAuthentication:
    """Sets ``scope["user"]``, and ``scope["auth"]`` to the token where one was sent; a bad token is denied."""

    def __init__(self, application: Application) -> None:
        self.by_token = application
        self.by_session = AuthMiddlewareStack(application)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        header = next((value for name, value in scope["headers"] if name.lower() == b"authorization"), b"")
        secret = bearer_secret(header)
        if secret is None:
            return await self.by_session({**scope, "auth": None}, receive, send)
        try:
            token: ApiToken = await database_sync_to_async(check_token)(secret)
        except AuthenticationFailed:
            return await WebsocketDenier()(scope, receive, send)
        return await self.by_token({**scope, "user": token.user, "auth": token}, receive, send)
