"""Who this node is: the node token it was given, kept in the data directory readable by its owner only."""

import logging
import os
import socket
import time
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from workers.agent.api import NodeApi, NotFound, Refused, Retry, TokenRefused
from workers.agent.atomic import write_atomically
from workers.agent.processes import read_boot_id
from workers.agent.settings import AgentSettings
from workers.contract import CONTRACT_VERSION
from workers.contract.node_api import HEARTBEAT_S, LEASE_S, DeviceInfo, JoinReply, JoinRequest

AGENT_VERSION = "0.1.0"

log = logging.getLogger(__name__)


class CannotJoin(Exception):  # noqa: N818  named for what happened
    """The node is not part of the cluster and cannot become so; the message says what to do."""


class StoredIdentity(BaseModel):
    """What joining gave, and what was said of this node then."""

    model_config = ConfigDict(frozen=True)

    server_url: str
    pool: str
    address: str
    devices: tuple[DeviceInfo, ...]
    reply: JoinReply


class Identity:
    """Joins, remembers, and joins again when the server no longer knows the token."""

    def __init__(self, settings: AgentSettings, *, devices: tuple[DeviceInfo, ...], address: str) -> None:
        self._settings = settings
        self._devices = devices
        self._address = address
        self._path = settings.data_dir / "node.json"

    def obtain(self, api: NodeApi, retry: Retry) -> JoinReply:
        """Return the stored identity, or join; ``api`` speaks with its token afterwards.

        A node whose slots, pool or address changed joins again, when it has a token to do it with, because
        the server learns of these by joining only.

        Raises:
            CannotJoin: no identity is stored and the join token is missing or refused.
            GaveUp: the server could not be reached until ``retry`` was stopped.
        """
        stored = self._load()
        if stored is not None and self._describes_this_node(stored):
            api.use_token(stored.reply.node_token)
            return stored.reply
        try:
            return self.join(api, retry)
        except CannotJoin as error:
            if stored is None or stored.server_url != self._settings.server_url:
                raise
            log.warning("this node changed but cannot tell the server: %s", error)
            api.use_token(stored.reply.node_token)
            return stored.reply

    def join(self, api: NodeApi, retry: Retry) -> JoinReply:
        """Exchange the join token for a node token and store it.

        Raises:
            CannotJoin: there is no join token, or the server refuses it.
            GaveUp: the server could not be reached until ``retry`` was stopped.
        """
        request = self._request()
        try:
            reply = self._join_when_free(api, request, retry)
        except (Refused, NotFound) as error:
            raise CannotJoin(f"the server refuses this node: {error}") from error
        stored = StoredIdentity(
            server_url=self._settings.server_url,
            pool=self._settings.pool,
            address=self._address,
            devices=self._devices,
            reply=reply,
        )
        write_atomically(self._path, stored.model_dump_json(), mode=0o600, is_durable=True)
        api.use_token(reply.node_token)
        return reply

    def _join_when_free(self, api: NodeApi, request: JoinRequest, retry: Retry) -> JoinReply:
        """Join, giving the lease of this machine's life before its reboot time to run out."""
        deadline = time.monotonic() + LEASE_S + HEARTBEAT_S
        while True:
            try:
                return retry.call(lambda: _join_once(api, request))
            except Refused as error:
                if error.code != "name_taken" or time.monotonic() > deadline or retry.stop.wait(retry.last_s):
                    raise
                log.info("waiting for the name: %s", error)

    def _load(self) -> StoredIdentity | None:
        try:
            return StoredIdentity.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            log.warning("%s is unreadable, joining anew: %s", self._path, error)
            return None

    def _describes_this_node(self, stored: StoredIdentity) -> bool:
        return (stored.server_url, stored.pool, stored.address, stored.devices) == (
            self._settings.server_url,
            self._settings.pool,
            self._address,
            self._devices,
        )

    def _request(self) -> JoinRequest:
        return JoinRequest(
            contract_version=CONTRACT_VERSION,
            join_token=self._read_join_token(),
            name=self._settings.name,
            pool=self._settings.pool,
            hostname=socket.gethostname(),
            address=self._address,
            boot_id=read_boot_id(),
            agent_version=AGENT_VERSION,
            devices=self._devices,
            cpu_count=os.cpu_count() or 1,
            memory_bytes=psutil.virtual_memory().total,
        )

    def _read_join_token(self) -> str:
        path: Path | None = self._settings.join_token_file
        if path is None:
            raise CannotJoin("this node has no valid node token: start it with --join-token-file")
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise CannotJoin(f"cannot read the join token: {error}") from error


def _join_once(api: NodeApi, request: JoinRequest) -> JoinReply:
    try:
        return api.join(request)
    except TokenRefused as error:  # of the join token: waiting does not help
        raise CannotJoin(f"the join token is refused: {error}; make a new one and start again") from error
