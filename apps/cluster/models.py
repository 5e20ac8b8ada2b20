"""Machines: pools of nodes, their devices, and the tokens that let them in."""

from django.db import models

from apps.accounts.models import User
from apps.core.models import Record


class Pool(Record):
    """Nodes that jobs may ask for by one name."""

    name = models.CharField(max_length=63, unique=True)
    description = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.name


class Node(Record):
    """One machine with an agent. Keeps its identity when it joins again."""

    name = models.CharField(max_length=63, unique=True)
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="nodes")
    hostname = models.CharField(max_length=255)
    address = models.CharField(max_length=255)
    """Where peers reach its ranks."""
    boot_id = models.CharField(max_length=64)
    agent_version = models.CharField(max_length=40)
    contract_version = models.PositiveIntegerField()
    cpu_count = models.PositiveIntegerField()
    memory_bytes = models.BigIntegerField()
    is_draining = models.BooleanField(default=False)
    """Keeps its jobs, gets no new ones."""
    last_seen_at = models.DateTimeField(null=True)
    """By the database's clock."""
    lost_at = models.DateTimeField(null=True)
    """Set when its lease ran out; cleared by its next heartbeat."""
    cpu_pct = models.FloatField(null=True)
    memory_used_bytes = models.BigIntegerField(null=True)
    disk_free_bytes = models.BigIntegerField(null=True)
    forkserver_ready = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.name


class DeviceKind(models.TextChoices):
    """What a slot is made of; the values of the contract's DeviceKind."""

    CPU = "cpu", "CPU"
    CUDA = "cuda", "CUDA"


class Device(Record):
    """One slot: a job's rank runs on one device."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="devices")
    index = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=DeviceKind)
    name = models.CharField(max_length=120)
    memory_bytes = models.BigIntegerField(default=0)
    removed_at = models.DateTimeField(null=True)
    """Set when the node joined without it."""

    class Meta:
        constraints = (models.UniqueConstraint(fields=["node", "index"], name="device_once"),)
        ordering = ("index",)

    def __str__(self) -> str:
        return f"{self.node}:{self.index}"


class JoinToken(Record):
    """Lets a machine in. One use, unless said otherwise."""

    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True)
    pool = models.ForeignKey(Pool, null=True, on_delete=models.PROTECT, related_name="+")
    """When set, the only pool it opens."""
    is_reusable = models.BooleanField(default=False)
    created_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    expires_at = models.DateTimeField(null=True)
    used_at = models.DateTimeField(null=True)
    used_by = models.ForeignKey(Node, null=True, on_delete=models.SET_NULL, related_name="+")
    """The node that used it last: its agent may ask again when the answer was lost."""
    revoked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}...)"


class NodeToken(Record):
    """A node's key; reaches its own allocations only."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="tokens")
    digest = models.CharField(max_length=64, unique=True)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"token of {self.node}"
