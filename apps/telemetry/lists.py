"""The list of a workspace's jobs, live: what the channel layer brings, and from Postgres what it did not.

A list has no sequence of its own: one would make all jobs of a workspace wait for one row. Instead each summary carries
the head of its job's stream, and every few seconds the jobs that changed since are compared with what was heard. So a
lost message, or Redis away for minutes, costs that long and no reload.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from channels.db import database_sync_to_async
from django.utils import timezone

from apps.core.live import jobs_topic
from apps.jobs.documents import job_summary
from apps.jobs.selectors import changed_jobs
from apps.telemetry.coalesce import Item

MAX_CHANGED: Final = 200
"""When more has changed the list is to be read afresh: ``SNAPSHOT``."""
SNAPSHOT: Final[Item] = {"kind": "snapshot"}
_MARGIN: Final = timedelta(seconds=10)
"""Clocks differ, and a change is stamped before it is committed."""
_BEFORE_JOINING: Final = timedelta(seconds=60)
"""Whoever joins has read its list at most so long ago."""

Listener = Callable[[Item], None]


@dataclass
class ListFeed:
    """One workspace's list in one process."""

    workspace_id: UUID
    listeners: set[Listener] = field(default_factory=set)
    read_at: datetime = field(default_factory=timezone.now)
    _seen: dict[UUID, int] = field(default_factory=dict)

    @property
    def topic(self) -> str:
        """Name its topic."""
        return jobs_topic(self.workspace_id)

    def hear(self, data: Mapping[str, Any]) -> None:
        """Take what the channel layer brought."""
        for _, item in data["messages"]:
            job = item["job"]
            self._seen[UUID(job["id"])] = job["seq"]
            self._tell(item)

    async def catch_up(self, listener: Listener) -> None:
        """Tell a new listener what changed while it was on its way here."""
        for item in await _read([self.workspace_id], timezone.now() - _BEFORE_JOINING):
            listener(item)

    async def read_on(self) -> None:
        """Tell everybody what changed and was not heard."""
        now = timezone.now()
        since = self.read_at - _MARGIN
        found = await _read([self.workspace_id], since)
        self.read_at = now
        fresh = [item for item in found if item is SNAPSHOT or item["job"]["seq"] > self._seen.get(_id(item), -1)]
        # what is older than the next look goes back to cannot be missed any more
        self._seen = {_id(item): item["job"]["seq"] for item in found if item is not SNAPSHOT}
        for item in fresh:
            self._tell(item)

    def _tell(self, item: Item) -> None:
        for listener in list(self.listeners):
            listener(item)


def _id(item: Item) -> UUID:
    return UUID(item["job"]["id"])


async def _read(workspace_ids: Collection[UUID], since: datetime) -> list[Item]:
    items: list[Item] = await database_sync_to_async(_changed, thread_sensitive=False)(workspace_ids, since)
    return items


def _changed(workspace_ids: Collection[UUID], since: datetime) -> list[Item]:
    jobs = changed_jobs(workspace_ids=workspace_ids, since=since, limit=MAX_CHANGED + 1)
    if len(jobs) > MAX_CHANGED:
        return [SNAPSHOT]
    return [{"kind": "job", "job": job_summary(job)} for job in jobs]
