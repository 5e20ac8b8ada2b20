"""Keeps the middleware of a request in the thread that its view runs in."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase


class OneThreadMiddleware:
    """Does nothing but be synchronous; it stands last, next to the view.

    Under ASGI Django runs every middleware that can be asynchronous on the event loop, as long as none within it is
    synchronous, and changes threads twice for each of them. Every view is synchronous here, so that was half of what
    a small request cost.
    """

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on."""
        return self.get_response(request)
