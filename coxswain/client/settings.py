"""Where the control plane is and who is asking: the environment first, then what `cox login` stored."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from coxswain.client.errors import CoxswainError


@dataclass(frozen=True)
class Credentials:
    """A control plane and a token for it."""

    url: str
    token: str


def credentials_path() -> Path:
    """The file `cox login` writes."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "coxswain" / "credentials.json"


def save_credentials(credentials: Credentials) -> Path:
    """Keep the credentials where only their owner can read them."""
    path = credentials_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump({"url": credentials.url, "token": credentials.token}, stream)
    partial.replace(path)
    return path


def load_credentials(url: str | None = None, token: str | None = None) -> Credentials:
    """Answer what to use: the arguments, then COX_URL and COX_TOKEN, then the stored login.

    A stored token goes to the address it was stored for, never to another one.

    Raises:
        CoxswainError: nothing says where the control plane is, or there is no token for it.
    """
    url = url or os.environ.get("COX_URL")
    token = token or os.environ.get("COX_TOKEN")
    if url is None or token is None:
        stored = _stored()
        if stored and (url is None or url.rstrip("/") == stored.url.rstrip("/")):
            url, token = url or stored.url, token or stored.token
    if not url:
        raise CoxswainError("No control plane is known: run `cox login --url URL`, or set COX_URL and COX_TOKEN")
    if not token:
        raise CoxswainError(f"There is no token for {url}: run `cox login --url {url}`, or set COX_TOKEN")
    return Credentials(url, token)


def _stored() -> Credentials | None:
    path = credentials_path()
    try:
        content = json.loads(path.read_text())
        return Credentials(content["url"], content["token"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise CoxswainError(f"{path} is damaged: run `cox login` again") from error
