"""Joining: tokens, identity, versions of the protocol, and what a node token reaches."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.cluster.models import Device, JoinToken, Node, NodeToken, Pool
from apps.cluster.services import create_join_token, revoke_join_token, revoke_node_tokens
from workers.contract import CONTRACT_VERSION

URL = "/api/node/v1/join"


@pytest.fixture
def client() -> APIClient:
    """Return a client that is nobody."""
    return APIClient()


def body(secret: str, **changes: Any) -> dict[str, Any]:
    return {
        "contract_version": CONTRACT_VERSION,
        "join_token": secret,
        "name": "n1",
        "pool": "default",
        "hostname": "host",
        "address": "127.0.0.1",
        "boot_id": "boot-1",
        "agent_version": "0.1.0",
        "devices": [{"index": 0, "kind": "cpu", "name": "core"}, {"index": 1, "kind": "cpu", "name": "core"}],
        "cpu_count": 2,
        "memory_bytes": 1 << 30,
    } | changes


def beat(client: APIClient, token: str, **changes: Any) -> Any:
    request = {"contract_version": CONTRACT_VERSION, "boot_id": "boot-1"} | changes
    return client.post("/api/node/v1/heartbeat", request, headers={"Authorization": f"Bearer {token}"})


@pytest.mark.django_db
class TestJoin:
    def test_join_makes_node_pool_and_slots(self, client: APIClient) -> None:
        secret = create_join_token(name="t").secret
        answer = client.post(URL, body(secret, pool="gpu"))
        assert answer.status_code == 200
        reply = answer.json()
        node = Node.objects.get(pk=reply["node_id"])
        assert (node.name, node.pool.name, node.devices.count()) == ("n1", "gpu", 2)
        assert (reply["queue"], reply["heartbeat_s"], reply["lease_s"]) == ("node.n1", 5.0, 20.0)
        assert reply["broker_url"].startswith("redis")
        assert beat(client, reply["node_token"]).status_code == 200

    def test_secrets_are_not_stored(self, client: APIClient) -> None:
        made = create_join_token(name="t")
        token = client.post(URL, body(made.secret)).json()["node_token"]
        stored = str(list(JoinToken.objects.values())) + str(list(NodeToken.objects.values()))
        assert made.secret not in stored
        assert token not in stored

    def test_one_time_token_lets_one_node_in(self, client: APIClient) -> None:
        secret = create_join_token(name="t").secret
        assert client.post(URL, body(secret)).status_code == 200
        again = client.post(URL, body(secret, name="n2"))
        assert (again.status_code, again.json()["code"]) == (403, "join_refused")
        assert again.json()["remedy"]

    def test_lost_answer_may_be_asked_for_again(self, client: APIClient) -> None:
        secret = create_join_token(name="t").secret
        first = client.post(URL, body(secret)).json()
        second = client.post(URL, body(secret))
        assert second.status_code == 200
        assert second.json()["node_id"] == first["node_id"]
        assert beat(client, first["node_token"]).json()["code"] == "token_revoked"
        assert beat(client, second.json()["node_token"]).status_code == 200

    def test_reusable_token_lets_many_in(self, client: APIClient) -> None:
        secret = create_join_token(name="t", is_reusable=True).secret
        for name in ("n1", "n2", "n3"):
            assert client.post(URL, body(secret, name=name)).status_code == 200

    def test_node_keeps_its_identity_and_renews_its_slots(self, client: APIClient) -> None:
        secret = create_join_token(name="t", is_reusable=True).secret
        first = client.post(URL, body(secret)).json()
        kept = Device.objects.get(index=0).pk
        devices = [
            {"index": 0, "kind": "cuda", "name": "H200", "memory_bytes": 5},
            {"index": 7, "kind": "cpu", "name": ""},
        ]
        second = client.post(URL, body(secret, devices=devices, pool="other")).json()
        assert second["node_id"] == first["node_id"]
        present = Device.objects.filter(removed_at=None).order_by("index").values_list("index", "kind")
        assert list(present) == [(0, "cuda"), (7, "cpu")]
        assert Device.objects.get(index=0).pk == kept
        assert Device.objects.get(index=1).removed_at is not None
        assert Node.objects.get().pool.name == "other"

    def test_name_of_a_living_node_is_taken(self, client: APIClient) -> None:
        secret = create_join_token(name="t", is_reusable=True).secret
        client.post(URL, body(secret))
        thief = client.post(URL, body(secret, boot_id="boot-2", hostname="elsewhere"))
        assert (thief.status_code, thief.json()["code"]) == (409, "name_taken")
        Node.objects.update(last_seen_at=timezone.now() - timedelta(seconds=60))
        assert client.post(URL, body(secret, boot_id="boot-2")).status_code == 200

    def test_token_of_a_pool_opens_no_other(self, client: APIClient) -> None:
        secret = create_join_token(name="t", pool_name="gpu").secret
        assert client.post(URL, body(secret)).json()["code"] == "join_refused"
        assert client.post(URL, body(secret, pool="gpu")).status_code == 200

    def test_expired_revoked_and_unknown_tokens_are_refused(self, client: APIClient) -> None:
        expired = create_join_token(name="t", expires_in_s=60)
        JoinToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        revoked = create_join_token(name="t")
        revoke_join_token(token_id=revoked.token.pk)
        for secret in (expired.secret, revoked.secret, "coxj_unknown", ""):
            assert client.post(URL, body(secret)).json()["code"] == "join_refused"
        assert not Node.objects.exists()

    @pytest.mark.parametrize(("version", "older"), [(CONTRACT_VERSION + 1, "server"), (CONTRACT_VERSION - 2, "agent")])
    def test_other_protocol_is_refused_with_the_remedy(self, client: APIClient, version: int, older: str) -> None:
        secret = create_join_token(name="t").secret
        answer = client.post(URL, body(secret, contract_version=version, new_field="of a later version"))
        assert (answer.status_code, answer.json()["code"]) == (426, "contract_mismatch")
        assert older in answer.json()["remedy"]
        assert JoinToken.objects.get().used_at is None

    def test_agent_replaced_by_a_newer_one_is_told_at_its_heartbeat(self, client: APIClient) -> None:
        token = client.post(URL, body(create_join_token(name="t").secret)).json()["node_token"]
        assert beat(client, token, contract_version=CONTRACT_VERSION + 1).status_code == 426

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"name": "Upper Case"}, "name"),
            ({"name": "a/b"}, "name"),
            ({"pool": "../x"}, "pool"),
            ({"devices": []}, "devices"),
            ({"devices": [{"index": 0, "kind": "tpu", "name": ""}]}, "devices.0.kind"),
            ({"devices": [{"index": 1, "kind": "cpu", "name": ""}] * 2}, "devices"),
            ({"cpu_count": "two"}, "cpu_count"),
            ({"surprise": 1}, "surprise"),
        ],
    )
    def test_malformed_request_names_its_field(self, client: APIClient, change: dict[str, Any], field: str) -> None:
        secret = create_join_token(name="t").secret
        answer = client.post(URL, body(secret, **change))
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)
        assert not Node.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_one_time_token_lets_one_of_many_in(client: APIClient) -> None:
    secret = create_join_token(name="t").secret
    barrier = threading.Barrier(4)

    def join(number: int) -> int:
        try:
            barrier.wait()
            return APIClient().post(URL, body(secret, name=f"n{number}")).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(join, range(4))) == [200, 403, 403, 403]
    assert Node.objects.count() == 1


@pytest.mark.django_db
class TestTokens:
    def test_revoked_node_is_shut_out(self, client: APIClient) -> None:
        reply = client.post(URL, body(create_join_token(name="t").secret)).json()
        assert revoke_node_tokens(node_id=reply["node_id"]) == 1
        answer = beat(client, reply["node_token"])
        assert (answer.status_code, answer.json()["code"]) == (401, "token_revoked")

    def test_node_token_opens_nothing_for_people_and_theirs_nothing_for_nodes(
        self, client: APIClient, client_with_token: Callable[..., APIClient], editor: User
    ) -> None:
        token = client.post(URL, body(create_join_token(name="t").secret)).json()["node_token"]
        assert client.get("/api/v1/jobs", headers={"Authorization": f"Bearer {token}"}).status_code == 401
        person = client_with_token(editor, "admin")
        assert person.post("/api/node/v1/heartbeat", {}).status_code == 401
        assert client.post("/api/node/v1/heartbeat", {}).status_code == 401

    def test_join_tokens_over_rest_are_for_administrators(
        self, client_for: Callable[[User], APIClient], superuser: User, owner: User, client: APIClient
    ) -> None:
        assert client_for(owner).get("/api/v1/join-tokens").status_code == 403
        assert client_for(owner).post("/api/v1/join-tokens", {"name": "t"}).status_code == 403
        admin = client_for(superuser)
        made = admin.post("/api/v1/join-tokens", {"name": "t", "pool": "gpu", "expires_in_s": 60})
        assert made.status_code == 201
        secret = made.json()["token"]
        (listed,) = admin.get("/api/v1/join-tokens").json()["results"]
        assert "token" not in listed
        assert (listed["name"], listed["pool"], listed["used_by"]) == ("t", "gpu", None)
        assert admin.delete(f"/api/v1/join-tokens/{listed['id']}").status_code == 204
        assert client.post(URL, body(secret, pool="gpu")).json()["code"] == "join_refused"
        assert admin.post("/api/v1/join-tokens", {"name": "t", "pool": "No Pool"}).status_code == 400

    def test_command_writes_the_secret_to_a_private_file(self, tmp_path: Path, client: APIClient) -> None:
        path = tmp_path / "token"
        path.write_text("old")
        path.chmod(0o644)
        call_command("create_join_token", name="local", pool="default", reusable=True, output_file=path)
        assert path.stat().st_mode & 0o777 == 0o600
        for name in ("n1", "n2"):
            assert client.post(URL, body(path.read_text().strip(), name=name)).status_code == 200
        assert Pool.objects.get().name == "default"
        with pytest.raises(CommandError):
            call_command("create_join_token", name="local", output_file=tmp_path / "absent" / "token")
