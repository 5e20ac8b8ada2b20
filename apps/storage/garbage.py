"""Collecting what nothing needs any more: expired uploads, sets without a living reference, bytes without a set.

Each row is locked and checked again before it goes, and whoever makes a new reference locks it too, so nothing is
collected under a reader's hands. Rows locked by others are left to the next run. Bytes go only after the row that
names them: a crash in between leaks a file, and never leaves a row without its bytes.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from apps.storage.backend import storage, upload_prefix
from apps.storage.models import Artifact, FileSet, FileSetEntry, Upload
from apps.storage.references import is_named, without_living_reference

GRACE = timedelta(hours=24)
"""How long something must have been unreferenced-looking and untouched before it goes."""
BATCH = 500
"""Most rows of each kind in one run; the next run takes the rest."""


@dataclass(frozen=True, slots=True)
class Collected:
    """How much one run removed."""

    uploads: int = 0
    file_sets: int = 0
    artifacts: int = 0

    @property
    def has_more(self) -> bool:
        """Whether a batch was full, so that another run is worth while at once."""
        return BATCH in {self.uploads, self.file_sets, self.artifacts}


def collect_garbage(*, grace: timedelta = GRACE) -> Collected:
    """Remove what has not been needed for ``grace``; safe at any time and from several processes at once."""
    before = timezone.now() - grace
    return Collected(
        uploads=collect_uploads(), file_sets=_collect_file_sets(before), artifacts=_collect_artifacts(before)
    )


def collect_uploads() -> int:
    """Remove expired uploads with their parts; what they completed stays, and becomes collectable."""
    count = 0
    for pk in list(Upload.objects.filter(expires_at__lt=timezone.now()).values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic():
            rows = Upload.objects.select_for_update(skip_locked=True, of=("self",))
            upload = rows.filter(pk=pk, expires_at__lt=timezone.now()).first()
            if upload is None:
                continue
            prefix = upload_prefix(upload.pk.hex)
            finished = Artifact.objects.filter(storage_key__startswith=f"{prefix}/").values_list(
                "storage_key", flat=True
            )
            storage().delete_prefix(prefix, keep=frozenset(finished))
            upload.delete()
        count += 1
    return count


def _collect_file_sets(before: datetime) -> int:
    idle = FileSet.objects.filter(updated_at__lt=before, collected_at=None)
    count = 0
    for pk in list(without_living_reference(idle).values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic():
            file_set = FileSet.objects.select_for_update(skip_locked=True).filter(pk=pk, updated_at__lt=before).first()
            if file_set is None or not without_living_reference(FileSet.objects.filter(pk=pk)).exists():
                continue
            file_set.entries.all().delete()
            if is_named(file_set):
                file_set.collected_at = timezone.now()
                file_set.save(update_fields=["collected_at", "updated_at"])
            else:
                file_set.delete()
        count += 1
    return count


def _collect_artifacts(before: datetime) -> int:
    count = 0
    for pk in list(_unused_artifacts().filter(updated_at__lt=before).values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic():
            artifact = Artifact.objects.select_for_update(skip_locked=True).filter(pk=pk).first()
            if artifact is None or not _unused_artifacts().filter(pk=pk).exists():
                continue
            artifact.delete()
        storage().delete(artifact.storage_key)
        count += 1
    return count


def _unused_artifacts() -> QuerySet[Artifact]:
    entries = FileSetEntry.objects.filter(artifact=OuterRef("pk"))
    uploads = Upload.objects.filter(artifact=OuterRef("pk"))
    return Artifact.objects.filter(~Exists(entries), ~Exists(uploads))
