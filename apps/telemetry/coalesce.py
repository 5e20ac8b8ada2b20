"""Making one message of several: what a browser needs of a burst is less than the burst.

Of the job's own descriptions the newest is enough; log text that continues is joined. Metrics stay one item per number
of the stream, because a page that read a curve at some number must be able to drop what it has. Every item carries its
``seq``.
"""

from collections.abc import Iterable
from typing import Any

Item = dict[str, Any]


def unpack(seq: int, item: Item) -> list[Item]:
    """Return the items of one stored or published message, each with its number."""
    parts = item["items"] if item.get("kind") == "batch" else [item]
    return [{**part, "seq": seq} for part in parts]


def coalesce(items: Iterable[Item]) -> list[Item]:
    """Shorten items, which are in order, without losing any."""
    kept: list[Item] = []
    job_at: int | None = None
    logs_at: dict[tuple[int, int, str], int] = {}
    for item in items:
        if item["kind"] == "job":
            if job_at is not None:
                kept[job_at] = {}
            job_at = len(kept)
        elif item["kind"] == "logs":
            place = (item["attempt"], item["rank"], item["stream"])
            before = kept[logs_at[place]] if place in logs_at else None
            if before is not None and before["stop"] == item["start"]:
                kept[logs_at[place]] = {
                    **item, "start": before["start"], "text": before["text"] + item["text"],
                }  # fmt: skip
                continue
            logs_at[place] = len(kept)
        kept.append(item)
    return [item for item in kept if item]


def as_data(items: list[Item]) -> Item:
    """Return the ``data`` of one message."""
    return items[0] if len(items) == 1 else {"kind": "batch", "items": items}
