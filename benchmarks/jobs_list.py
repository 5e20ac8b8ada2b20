"""The jobs list with 100,000 jobs: seconds from request to answer over HTTP, first page, filters and orderings."""

import time

from benchmarks.results import repeat_option, say, spread
from benchmarks.telemetry_lab import TelemetryLab, telemetry_lab

NUM_JOBS = 100_000
QUERIES = ("", "?state=failed", "?search=run+97", "?ordering=name", "?ordering=-priority", "?page_size=200")

_FILL = f"""
import django
django.setup()
from django.db import connection
from django.utils import timezone
from apps.jobs.models import Job, Stream
seed = Job.objects.get()
states = ["succeeded"] * 8 + ["failed", "cancelled"]
for first in range(2, {NUM_JOBS}, 10_000):
    jobs = [
        Job(
            workspace_id=seed.workspace_id, project_id=seed.project_id, number=number, name=f"run {{number % 977}}",
            kind="train", spec={{"kind": "train"}}, pool="bench", state=states[number % 10], owner_id=seed.owner_id,
            queued_at=timezone.now(), priority=number % 3)
        for number in range(first, min(first + 10_000, {NUM_JOBS} + 1))
    ]
    Job.objects.bulk_create(jobs)
    Stream.objects.bulk_create([Stream(job=job) for job in jobs])
with connection.cursor() as cursor:
    cursor.execute("ANALYZE")
print(Job.objects.count())
"""


def read(lab: TelemetryLab, query: str, *, repeat: int) -> dict[str, float | int]:
    """Milliseconds of GET /api/v1/jobs over a connection that is kept alive."""
    connection = lab.connect()
    samples = []
    for _ in range(repeat + 2):
        began = time.perf_counter()
        connection.request("GET", f"/api/v1/jobs{query}", headers={"Authorization": f"Bearer {lab.api_secret}"})
        answer = connection.getresponse()
        body = answer.read()
        samples.append((time.perf_counter() - began) * 1e3)
        assert answer.status == 200, body
    return spread(samples[2:])


def main() -> None:
    """Fill, then read."""
    repeat = repeat_option(__doc__, default=20)
    with telemetry_lab() as lab:
        num_jobs = int(lab.manage(_FILL).split()[-1])
        say(
            "jobs_list",
            num_jobs=num_jobs,
            milliseconds={query or "first page": read(lab, query, repeat=repeat) for query in QUERIES},
        )


if __name__ == "__main__":
    main()
