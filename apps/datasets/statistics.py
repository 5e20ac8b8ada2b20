"""What a dataset version holds, in numbers: one pass over its files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from apps.datasets.documents import UnusableFile, is_data, measure
from apps.storage.selectors import StoredFile


@dataclass(slots=True)
class Statistics:
    """Counts over all documents; blank ones (nothing but white space) are counted apart and in nothing else."""

    files: int = 0
    bytes: int = 0
    documents: int = 0
    empty_documents: int = 0
    characters: int = 0
    longest_characters: int = 0
    buckets: dict[int, int] = field(default_factory=dict)
    """Documents by the bit length of their number of characters."""

    def add(self, num_characters: int) -> None:
        """Count one document."""
        self.documents += 1
        self.characters += num_characters
        self.longest_characters = max(self.longest_characters, num_characters)
        bucket = num_characters.bit_length()
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1

    def as_json(self) -> dict[str, object]:
        """Return what is stored and served; histogram buckets double in width and leave no gap."""
        low, high = (min(self.buckets), max(self.buckets)) if self.buckets else (0, -1)
        return {
            "files": self.files,
            "bytes": self.bytes,
            "documents": self.documents,
            "empty_documents": self.empty_documents,
            "characters": self.characters,
            "longest_characters": self.longest_characters,
            "mean_characters": self.characters / self.documents if self.documents else 0.0,
            "length_histogram": [
                {
                    "min_characters": 2 ** (bits - 1),
                    "max_characters": 2**bits - 1,
                    "documents": self.buckets.get(bits, 0),
                }
                for bits in range(low, high + 1)
            ],
        }


def survey(files: Sequence[StoredFile], on_progress: Callable[[float], None]) -> Statistics:
    """Read every data file once; ``on_progress`` gets the share that is done, 0 to 1.

    Raises:
        UnusableFile: a file is not what its name says, or nothing holds usable text.
    """
    data = [file for file in files if is_data(file.path)]
    if not data:
        raise UnusableFile("There is no data file: hidden files and __pycache__ are left out.")
    found = Statistics(files=len(data), bytes=sum(file.size_bytes for file in data))
    done = 0

    def on_bytes(count: int) -> None:
        nonlocal done
        done += count
        on_progress(min(1.0, done / max(1, found.bytes)))

    for file in data:
        for length in measure(file, on_bytes):
            if length.is_blank:
                found.empty_documents += 1
            else:
                found.add(length.num_characters)
    if found.documents == 0:
        raise UnusableFile("There is no usable text: every document is empty.")
    return found
