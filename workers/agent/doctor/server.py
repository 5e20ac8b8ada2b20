"""The way to the control plane: its web server, this node's identity there, its broker."""

import time
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from uuid import uuid4

import httpx
from kombu import Connection
from pydantic import ValidationError

from workers.agent.api import ApiError, NodeApi, NotFound, Refused, TokenRefused
from workers.agent.doctor.findings import Finding, failed, ok, skipped, warning
from workers.agent.identity import StoredIdentity

_TIMEOUT_S = 5.0
_MAX_SKEW_S = 5.0
_JOIN_ANEW = "make a join token on the server and start the node with --join-token-file"


def check_server(url: str) -> list[Finding]:
    """Ask the web server whether it lives and is ready, and compare clocks."""
    try:
        # trust_env: a proxy meant for the internet is not on the way to the control plane
        with httpx.Client(base_url=url, timeout=_TIMEOUT_S, trust_env=False) as client:
            lives, ready = client.get("/healthz"), client.get("/readyz")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return [failed(
            "server", f"no answer from {url}: {str(error) or type(error).__name__}",
            "check the address and the firewall; on the server see `cox status`, and that it listens for "
            "other machines (`cox up --host 0.0.0.0`)",
        )]  # fmt: skip
    if lives.status_code == HTTPStatus.BAD_REQUEST:
        return [failed("server", f"{url} refuses this host name", "add it to COX_ALLOWED_HOSTS on the server")]
    if lives.status_code != HTTPStatus.OK:
        answer = f"{url}/healthz answers {lives.status_code}"
        return [failed("server", answer, "something else listens there, or a proxy does not pass it on")]
    if ready.status_code != HTTPStatus.OK:
        return [failed(
            "server", f"{url} lives but is not ready: {ready.text[:200].strip()}",
            "on the server see that database, broker and scheduler run (`cox status`)",
        )]  # fmt: skip
    return [ok("server", f"{url} is ready"), _check_clock(lives)]


def _check_clock(response: httpx.Response) -> Finding:
    if "Date" not in response.headers:
        return skipped("clock", "the server sends no time")
    skew_s = time.time() - parsedate_to_datetime(response.headers["Date"]).timestamp()
    if abs(skew_s) > _MAX_SKEW_S:
        message = f"this machine's clock differs from the server's by {skew_s:+.0f} s"
        return warning("clock", message, "run an NTP client (chrony, systemd-timesyncd) on both")
    return ok("clock", "within a second or two of the server's")


def check_identity(server_url: str, data_dir: Path | None, join_token_file: Path | None) -> list[Finding]:
    """Say whether the node has joined, whether its token still holds, and whether its broker answers."""
    if data_dir is None:
        return [skipped("identity", "no --name was given"), skipped("broker", "known once the node has joined")]
    stored = _load(data_dir / "node.json")
    if stored is not None:
        return [_check_token(stored, server_url), _check_broker(stored.reply.broker_url)]
    broker = skipped("broker", "known once the node has joined")
    if join_token_file is None:
        return [failed("identity", f"{data_dir} belongs to no node that has joined", _JOIN_ANEW), broker]
    try:
        if not join_token_file.read_text(encoding="utf-8").strip():
            return [failed("identity", f"{join_token_file} is empty", _JOIN_ANEW), broker]
    except OSError as error:
        return [failed("identity", f"the join token cannot be read: {error}", _JOIN_ANEW), broker]
    return [ok("identity", "not joined yet; there is a join token"), broker]


def _load(path: Path) -> StoredIdentity | None:
    try:
        return StoredIdentity.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _check_token(stored: StoredIdentity, server_url: str) -> Finding:
    if stored.server_url.rstrip("/") != server_url.rstrip("/"):
        message = f"the node joined {stored.server_url}, not {server_url}"
        return failed("identity", message, f"name that server, or {_JOIN_ANEW}")
    api = NodeApi(server_url, stored.reply.node_token, timeout_s=_TIMEOUT_S)
    try:
        api.fetch_secrets(uuid4())  # of an allocation that nobody has: only the token is looked at
    except (NotFound, Refused):
        return ok("identity", f"joined {stored.server_url}, and the token holds")
    except TokenRefused as error:
        return failed("identity", f"the node's token is refused: {error}", _JOIN_ANEW)
    except ApiError as error:
        return skipped("identity", f"the server did not say: {error}")
    finally:
        api.close()
    return ok("identity", f"joined {stored.server_url}")


def _check_broker(url: str) -> Finding:
    options = {"socket_connect_timeout": _TIMEOUT_S, "socket_timeout": _TIMEOUT_S}
    connection = Connection(url, connect_timeout=_TIMEOUT_S, transport_options=options)
    try:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=int(_TIMEOUT_S))
    except Exception as error:  # noqa: BLE001  every broker library has errors of its own
        return failed(
            "broker", f"no answer from {connection.as_uri()}: {str(error) or type(error).__name__}",
            "open its port to this machine, or let COX_BROKER_URL on the server name an address that nodes reach (the "
            "embedded Redis listens on loopback only)",
        )  # fmt: skip
    finally:
        connection.release()
    return ok("broker", connection.as_uri())
