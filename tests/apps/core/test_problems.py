"""One form for every refusal and failure under /api/."""

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import DataError, IntegrityError, OperationalError, connection, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from pydantic import BaseModel
from rest_framework import exceptions as drf
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

from apps.accounts.models import Workspace
from apps.core.errors import Conflict, FieldError, IllegalTransition, InvalidInput, QuotaExceeded, StaleFence
from apps.core.problems import CONTENT_TYPE, document_of, problem

raised: list[Exception] = []


class RaisingView(APIView):
    """Raises what the test put into ``raised``."""

    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request) -> Response:
        raise raised[-1]


def raising_plain_view(request: HttpRequest) -> HttpResponse:
    """Raise outside REST framework."""
    raise raised[-1]


urlpatterns = [
    path("api/v1/rest", RaisingView.as_view()),
    path("api/v1/plain", raising_plain_view),
    path("plain", raising_plain_view),
]


@pytest.fixture
def send(settings: Any) -> Iterator[Callable[[str, Exception], Any]]:
    """Return a function that asks an address whose view raises."""
    settings.ROOT_URLCONF = __name__
    client = Client(raise_request_exception=False)

    def ask(address: str, error: Exception) -> Any:
        raised.append(error)
        return client.get(address)

    yield ask
    raised.clear()


CASES = [
    (InvalidInput("Too small.", field="spec.steps"), 400, "invalid"),
    (Conflict("Taken.", code="duplicate"), 409, "duplicate"),
    (IllegalTransition(source="failed", target="running"), 409, "illegal_transition"),
    (StaleFence(reported=1, current=2), 409, "stale_fence"),
    (QuotaExceeded("Enough.", retry_after_s=1.5), 429, "quota_exceeded"),
    (drf.PermissionDenied(), 403, "forbidden"),
    (drf.MethodNotAllowed("GET"), 405, "method_not_allowed"),
    (drf.Throttled(wait=3), 429, "too_many_requests"),
    (PermissionDenied(), 403, "forbidden"),
    (Http404(), 404, "not_found"),
    (RequestDataTooBig("Too big."), 413, "too_large"),
    (DataError("out of range"), 400, "invalid"),
    (OperationalError("gone"), 503, "unavailable"),
    (RuntimeError("secret detail"), 500, "internal_error"),
]


@pytest.mark.parametrize("address", ["/api/v1/rest", "/api/v1/plain"])
@pytest.mark.parametrize(("error", "status", "code"), CASES, ids=lambda value: getattr(value, "code", None))
def test_every_error_becomes_a_problem(
    send: Callable[[str, Exception], Any], address: str, error: Exception, status: int, code: str
) -> None:
    answer = send(address, error)
    document = orjson.loads(answer.content)
    assert answer["Content-Type"] == CONTENT_TYPE
    assert (answer.status_code, document["status"], document["code"]) == (status, status, code)
    assert {"type", "title", "detail", "errors", "remedy", "request_id"} <= set(document)
    assert document["request_id"] == answer["X-Request-ID"]
    assert document["remedy"]
    assert b"secret" not in answer.content
    assert b"Traceback" not in answer.content


def test_retry_after_is_rounded_up(send: Callable[[str, Exception], Any]) -> None:
    assert send("/api/v1/rest", QuotaExceeded(retry_after_s=1.5))["Retry-After"] == "2"
    assert "Retry-After" in send("/api/v1/rest", OperationalError())


def test_debug_pages_do_not_leave_the_api(send: Callable[[str, Exception], Any], settings: Any) -> None:
    settings.DEBUG = True
    for address in ("/api/v1/rest", "/api/v1/plain"):
        assert b"secret" not in send(address, RuntimeError("secret")).content
    assert Client().get("/api/v1/nothing")["Content-Type"] == CONTENT_TYPE


def test_own_bug_raises_in_tests(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    raised.append(RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        APIClient().get("/api/v1/rest")


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
def test_unknown_address_under_api_is_a_problem(method: str) -> None:
    answer = getattr(APIClient(), method)("/api/v1/nothing/here")
    assert (answer.status_code, answer["Content-Type"]) == (404, CONTENT_TYPE)


@pytest.mark.parametrize("address", ["/api/v1/projects?name=%00", "/api/v1/mod\0els", "/api/v1/%00"])
def test_nul_in_an_address_is_refused(address: str) -> None:
    assert APIClient().get(address).status_code == 400


class Inner(BaseModel):
    width: int


class Outer(BaseModel):
    model: Inner
    parts: list[Inner] = []


def test_contract_errors_carry_the_path_of_the_input() -> None:
    data = {"model": {"width": "wide"}, "parts": [{"width": 1}, {}]}
    with pytest.raises(ValueError) as caught:
        Outer.model_validate(data)
    error = InvalidInput.from_pydantic(caught.value, data=data, prefix="spec")  # type: ignore[arg-type]
    assert [item.field for item in error.errors] == ["spec.model.width", "spec.parts.1.width"]
    assert error.detail.startswith("spec.model.width: ")
    assert document_of(caught.value)["status"] == 400


def test_tags_of_unions_are_no_part_of_the_path() -> None:
    from workers.contract.jobs import JOB_SPEC_ADAPTER

    data = {"kind": "train", "model": {"source": "config", "num_layers": -1}, "surprise": 1}
    with pytest.raises(ValueError) as caught:
        JOB_SPEC_ADAPTER.validate_python(data)
    fields = [item.field for item in InvalidInput.from_pydantic(caught.value, data=data, prefix="spec").errors]  # type: ignore[arg-type]
    assert "spec.surprise" in fields
    assert "spec.model.num_layers" in fields
    assert not [field for field in fields if "train" in field or "config" in field]


def test_nested_serializer_errors_are_flattened() -> None:
    error = drf.ValidationError({"a": {"b": ["x"]}, "c": [{}, {"d": ["y"]}], "non_field_errors": ["z"]})
    assert document_of(error)["errors"] == [
        {"field": "a.b", "message": "x"},
        {"field": "c.1.d", "message": "y"},
        {"field": "", "message": "z"},
    ]


def test_extra_members_never_hide_the_standard_ones() -> None:
    document = problem(
        409, detail="d", code="mark_mismatch", extra={"mark": 7, "status": 200}, errors=(FieldError("f", "m"),)
    )
    assert (document["mark"], document["status"], document["code"]) == (7, 409, "mark_mismatch")


@pytest.mark.django_db
def test_lost_race_for_a_name_is_a_conflict() -> None:
    Workspace.objects.create(name="one")
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        Workspace.objects.create(name="one")
    assert (document_of(caught.value)["status"], document_of(caught.value)["code"]) == (409, "duplicate")
    with pytest.raises(IntegrityError) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_workspace SET name = NULL")
    assert document_of(caught.value)["status"] == 500


def test_page_outside_the_api_is_left_to_django(send: Callable[[str, Exception], Any]) -> None:
    answer = send("/plain", Http404())
    assert (answer.status_code, answer["Content-Type"]) == (404, "text/html; charset=utf-8")
