"""The console shows what was taken in."""

from apps.accounts.models import User
from tests.apps.telemetry.conftest import NodeVoice, World


def test_lists_are_shown_to_administrators(world: World, node: NodeVoice) -> None:
    node.run(node.metrics(world.allocation, 0, 2), node.log(world.allocation, 0, b"a\n"))
    client = world.client(User.objects.create_superuser("root"))
    for table, words in (("series", "loss"), ("ingestmark", "stdout")):
        page = client.get(f"/admin/telemetry/{table}/", {"q": world.job.name})
        assert page.status_code == 200
        assert words in page.content.decode()
