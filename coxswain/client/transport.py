"""HTTP to a control plane: authentication, retries, problem documents, pages."""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from coxswain.client.errors import ApiError, FieldError, Unreachable

API_PREFIX = "/api/v1/"
_RETRIED_STATUS = frozenset({502, 503, 504})
_NUM_TRIES = 5
_FIRST_WAIT_S = 0.2

# JSON as it comes off the wire; models.py gives the parts their types.
Json = dict[str, Any]


class Transport:
    """One connection pool to one control plane.

    Requests that may safely be repeated are, when the server is away or restarting: all but POST, and a POST that
    carries an idempotency key.
    """

    def __init__(self, url: str, token: str | None, *, timeout_s: float = 30.0, num_tries: int = _NUM_TRIES) -> None:
        self.url = url.rstrip("/")
        self._num_tries = num_tries
        headers = {"Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._client = httpx.Client(base_url=self.url + API_PREFIX, headers=headers, timeout=timeout_s)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: object | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> httpx.Response:
        """Send one request to ``path`` below ``/api/v1/``.

        Raises:
            ApiError: the answer is a refusal.
            Unreachable: there is no answer.
        """
        extra: dict[str, Any] = {} if timeout_s is None else {"timeout": timeout_s}
        if content is not None:
            extra["content"] = content
            headers = {"Content-Type": "application/octet-stream", **(headers or {})}
        elif body is not None:
            extra["json"] = body
        shown = {key: value for key, value in (params or {}).items() if value is not None}
        request = self._client.build_request(method, path, params=shown, headers=headers, **extra)
        return self._send(request, may_repeat=method != "POST" or "Idempotency-Key" in request.headers)

    def get(self, path: str, **params: Any) -> Json:
        """GET one object."""
        answer: Json = self.request("GET", path, params=params).json()
        return answer

    def post(self, path: str, body: object | None = None, *, headers: Mapping[str, str] | None = None) -> Json:
        """POST a JSON body; answer the object that came back, {} for none."""
        response = self.request("POST", path, body={} if body is None else body, headers=headers)
        answer: Json = response.json() if response.content else {}
        return answer

    def pages(self, path: str, *, limit: int | None = None, **params: Any) -> Iterator[Json]:
        """Yield the objects of a list, page by page, at most ``limit`` of them."""
        num_left = limit
        cursor: str | None = None
        while True:
            page = self.get(path, **params, cursor=cursor)
            for item in page["results"]:
                if num_left is not None:
                    if num_left == 0:
                        return
                    num_left -= 1
                yield item
            following = page.get("next")
            if not following:
                return
            cursor = httpx.URL(following).params["cursor"] if "cursor=" in following else following

    def download(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of a file as they arrive, from wherever the control plane sends the caller for them.

        The token stays with the control plane: httpx leaves it out of requests to another host.

        Raises:
            ApiError: the answer is a refusal.
            Unreachable: the connection failed.
        """
        try:
            with self._client.stream("GET", path, headers={"Accept": "*/*"}, follow_redirects=True) as response:
                if response.is_error:
                    response.read()
                    raise problem_of(response)
                yield from response.iter_bytes()
        except (httpx.TransportError, httpx.TooManyRedirects) as error:
            raise Unreachable(str(error) or type(error).__name__, url=self.url) from error

    def _send(self, request: httpx.Request, *, may_repeat: bool) -> httpx.Response:
        wait_s = _FIRST_WAIT_S
        for try_number in range(1, self._num_tries + 1):
            is_last = try_number == self._num_tries or not may_repeat
            try:
                response = self._client.send(request)
            except httpx.TransportError as error:
                if is_last:
                    raise Unreachable(f"No answer: {str(error) or type(error).__name__}", url=self.url) from error
            else:
                if not response.is_error:
                    return response
                if response.status_code not in _RETRIED_STATUS or is_last:
                    raise problem_of(response)
            time.sleep(wait_s)
            wait_s *= 2
        raise AssertionError("the last try returns or raises")


def problem_of(response: httpx.Response) -> ApiError:
    """Turn a refusal into the error a caller sees; anything but a problem document is shown by its status."""
    try:
        problem = response.json()
        return ApiError(
            title=problem.get("title") or response.reason_phrase,
            status=response.status_code,
            code=problem.get("code", ""),
            detail=problem.get("detail", ""),
            remedy=problem.get("remedy") or "",
            request_id=problem.get("request_id") or "",
            errors=tuple(FieldError(item.get("field", ""), item["message"]) for item in problem.get("errors") or ()),
        )
    except (json.JSONDecodeError, AttributeError, KeyError, TypeError, UnicodeDecodeError):
        return ApiError(title=f"HTTP {response.status_code} {response.reason_phrase}", status=response.status_code)
