"""One id per request."""

import pytest
from rest_framework.test import APIClient

from apps.core.models import Event
from apps.core.request_id import current_request_id


@pytest.mark.parametrize(
    ("given", "is_kept"), [("abc-1.2_X", True), ("bad id", False), ("x" * 65, False), ("\u00e9", False), ("", False)]
)
@pytest.mark.django_db
def test_well_formed_id_is_kept_and_another_replaced(given: str, is_kept: bool) -> None:
    answer = APIClient().get("/api/v1/auth/session", headers={"X-Request-ID": given})
    assert (answer["X-Request-ID"] == given) is is_kept
    assert len(answer["X-Request-ID"]) <= 64


def test_events_carry_the_id_of_their_request(api: APIClient) -> None:
    api.post("/api/v1/tokens", {"name": "t"}, headers={"X-Request-ID": "from-client"})
    assert Event.objects.get().request_id == "from-client"
    assert current_request_id() == ""
