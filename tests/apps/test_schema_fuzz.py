"""Every operation of the published schema, fed with generated input: no 5xx, no answer the schema does not name, and
nothing taken that it forbids.

Half of the addresses get the id of an object that exists, so that what lies behind the 404 is reached too. Each example
is rolled back.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from zlib import crc32

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS
from schemathesis.core.parameters import ParameterLocation

from apps.accounts.services import create_token
from tests.apps.scene import PATHS, Scene

CHECK_NAMES = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
)
schema = schemathesis.openapi.from_wsgi("/api/schema/", get_wsgi_application())


@pytest.fixture(autouse=True)
def keep_connection() -> Iterator[None]:
    """Keep Django from closing the test's connection around each request, as its own test client does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def secret(scene: Scene) -> str:
    """Return a token that opens everything."""
    return create_token(actor=scene.superuser, name="fuzz", scopes=["admin"]).secret


def real_ids(scene: Scene, path: str) -> dict[str, str]:
    """Return the parameters of a path that name the scene's objects."""
    template = path.removeprefix("/api/v1/")
    beginnings = [start for start in PATHS if template.startswith(re.sub(r"<\w+:(\w+)>", r"{\1}", start))]
    if not beginnings:
        return {}
    values = PATHS[max(beginnings, key=len)](scene)
    last = values.get("pk", values.get("id"))
    return {name: str(values.get(name, last)) for name in re.findall(r"{(\w+)}", path)}


def be_brief(case: Any) -> None:
    """Shorten a wait that the schema allows: nothing happens here that could end it."""
    with suppress(TypeError, ValueError, LookupError):
        if 0 < float(case.query["wait_s"]) <= 60:
            case.query = {**case.query, "wait_s": "0.01"}


def name_an_object(case: Any, scene: Scene) -> None:
    """Put the id of an object that exists into half of the addresses that may name one."""
    location = case.meta.components.get(ParameterLocation.PATH)
    if location is not None and location.mode.is_negative:
        return
    wanted = real_ids(scene, case.operation.path)
    if wanted and crc32(str(case.path_parameters).encode()) % 2:
        case.path_parameters = {**case.path_parameters, **wanted}


@schema.parametrize()
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
def test_operation_holds_to_its_schema(case: Any, scene: Scene, secret: str) -> None:
    name_an_object(case, scene)
    be_brief(case)
    checks = [check for check in CHECKS.get_all() if check.__name__ in CHECK_NAMES]
    with transaction.atomic():
        response = case.call(headers={**dict(case.headers or {}), "Authorization": f"Bearer {secret}"})
        transaction.set_rollback(True)
    case.validate_response(response, checks=checks)
