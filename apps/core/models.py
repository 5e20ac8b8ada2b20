"""What every app's tables are made of, and the one append-only record of what happened."""

import uuid

from django.conf import settings
from django.db import models
from uuid6 import uuid7


def new_id() -> uuid.UUID:
    """Return a UUIDv7 (RFC 9562, section 5.7): sorted by creation time."""
    return uuid.UUID(int=uuid7().int)


class Record(models.Model):
    """A row with a time-ordered id, made by the application, and its times in UTC."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True


class Event(models.Model):
    """One thing that happened: timelines, audit and stage history all read this table.

    Append-only: a database trigger refuses UPDATE and DELETE. It has no foreign keys to tenants, so that
    it outlives what it speaks of.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workspace_id = models.UUIDField(null=True)
    object_type = models.CharField(max_length=40)
    """``app.model``, lower case."""
    object_id = models.UUIDField()
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    actor_name = models.CharField(max_length=200)
    """As it was then; ``system``, ``node:<name>`` or the user's name."""
    action = models.CharField(max_length=60)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    reason = models.TextField(blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    seq = models.BigIntegerField(null=True)
    """Position in the object's live stream, where it has one."""
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = (
            models.Index(fields=["object_id", "id"], name="event_object"),
            models.Index(fields=["workspace_id", "id"], name="event_workspace"),
        )

    def __str__(self) -> str:
        return f"{self.action} {self.object_type} {self.object_id}"


class ServiceBeat(models.Model):
    """When a process of the control plane was last seen, by the database's clock.

    A node's silence counts only while these have been up for a full lease.
    """

    name = models.CharField(max_length=40, primary_key=True)
    up_since = models.DateTimeField()
    beat_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
