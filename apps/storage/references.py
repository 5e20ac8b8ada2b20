"""What keeps a set of files alive.

Every row with a foreign key to FileSet does, found through Django's own register of relations, so a new app is
safe without a word here. An app whose rows outlive their use (soft deletion, retention) says in its
``AppConfig.ready`` which of them still count.
"""

from collections.abc import Callable

from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from apps.storage.models import FileSet, FileSetEntry

_LIVE_ROWS: dict[str, Callable[[], Q]] = {}


def count_only(model: type[Model], live: Callable[[], Q]) -> None:
    """Let only the rows of ``model`` that match ``live()`` keep their files; it is asked at each collection."""
    _LIVE_ROWS[model._meta.label_lower] = live


def without_living_reference(file_sets: "QuerySet[FileSet]") -> "QuerySet[FileSet]":
    """Return those sets that nothing living refers to: their entries may go."""
    for model, field in _relations():
        rows = model._base_manager.filter(**{field: OuterRef("pk")})
        if (live := _LIVE_ROWS.get(model._meta.label_lower)) is not None:
            rows = rows.filter(live())
        file_sets = file_sets.filter(~Exists(rows))
    return file_sets


def is_named(file_set: FileSet) -> bool:
    """Tell whether any row, living or history, still points at the set."""
    return any(model._base_manager.filter(**{field: file_set}).exists() for model, field in _relations())


def _relations() -> list[tuple[type[Model], str]]:
    found = []
    for relation in FileSet._meta.related_objects:
        model = relation.related_model
        if isinstance(model, type) and model is not FileSetEntry:
            found.append((model, relation.field.name))
    return found
