"""Getting an API token with a user name and a password, as the login page would."""

import httpx

from coxswain.client.errors import Unreachable
from coxswain.client.transport import API_PREFIX, problem_of

_TIMEOUT_S = 30.0


def create_token(url: str, *, username: str, password: str, name: str, scopes: tuple[str, ...] = ("write",)) -> str:
    """Sign in, create an API token named ``name``, sign out; answer the token, which is shown this once.

    Raises:
        ApiError: the login or the token is refused.
        Unreachable: there is no answer.
    """
    base = url.rstrip("/")
    try:
        with httpx.Client(base_url=base + API_PREFIX, timeout=_TIMEOUT_S, headers={"Referer": base + "/"}) as client:
            _refresh_csrf(client)
            _checked(client.post("auth/login", json={"username": username, "password": password}))
            _refresh_csrf(client)  # signing in replaces it
            answer = _checked(client.post("tokens", json={"name": name, "scopes": list(scopes)}))
            token = str(answer.json()["token"])
            _checked(client.post("auth/logout"))
            return token
    except httpx.TransportError as error:
        raise Unreachable(f"No answer: {str(error) or type(error).__name__}", url=base) from error


def _refresh_csrf(client: httpx.Client) -> None:
    client.headers["X-CSRFToken"] = str(_checked(client.get("auth/session")).json()["csrf_token"])


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        raise problem_of(response)
    return response
