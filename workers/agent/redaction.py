"""Masks secrets in what leaves the node: every byte of them becomes ``*``, so that offsets in a log stay true.

A value is also known by its lines (a key printed line by line), as base64, percent-encoded and JSON-escaped.
"""

import base64
import json
from collections.abc import Iterable
from urllib.parse import quote

_MIN_LENGTH = 8
"""Shorter lines of a value are left: masking them would mask half of the log."""
_MASK = b"*"


class Redactor:
    """The secrets of one allocation; none at first."""

    def __init__(self) -> None:
        self._patterns: tuple[bytes, ...] = ()

    def add(self, values: Iterable[str]) -> None:
        """Mask these from now on."""
        found = {form for value in values for form in _forms(value) if len(form) >= _MIN_LENGTH}
        self._patterns = tuple(sorted({*self._patterns, *found}))

    def text(self, text: str) -> str:
        """Mask a whole text."""
        if not self._patterns:
            return text
        return self.cut(text.encode("utf-8", "surrogateescape"), is_final=True).decode("utf-8", "replace")

    def cut(self, data: bytes, *, is_final: bool) -> bytes:
        """Mask the beginning of a stream; what may be the beginning of a secret is left for the next call.

        The result is as long as the part of ``data`` that it stands for. When ``is_final`` nothing is held back: the
        beginning of a secret at the end is masked too.
        """
        if not self._patterns:
            return data
        spans = list(self._spans(data))
        held = self._unfinished(data)
        masked = bytearray(data)
        for start, stop in spans:
            masked[start:stop] = _MASK * (stop - start)
        if is_final:
            if len(data) - held >= _MIN_LENGTH // 2:
                masked[held:] = _MASK * (len(data) - held)
            return bytes(masked)
        while (crossing := min((start for start, stop in spans if start < held < stop), default=held)) < held:
            held = crossing  # a secret that the cut would divide is kept whole
        is_stuck = held == 0 and len(data) > 2 * len(max(self._patterns, key=len))  # one secret in another, for ever
        return bytes(masked if is_stuck else masked[:held])

    def _spans(self, data: bytes) -> Iterable[tuple[int, int]]:
        for pattern in self._patterns:
            start = data.find(pattern)
            while start >= 0:
                yield start, start + len(pattern)
                start = data.find(pattern, start + 1)

    def _unfinished(self, data: bytes) -> int:
        """Return where the longest end of ``data`` that may be the beginning of a secret begins."""
        first = len(data)
        for pattern in self._patterns:
            start = data.find(pattern[:1], max(0, len(data) - len(pattern) + 1))
            while 0 <= start < first:
                if pattern.startswith(data[start:]):
                    first = start
                    break
                start = data.find(pattern[:1], start + 1)
        return first


def _forms(value: str) -> set[bytes]:
    raw = value.encode()
    lines = {line.strip().encode() for line in value.splitlines()}
    encoded = {base64.b64encode(raw).rstrip(b"="), base64.urlsafe_b64encode(raw).rstrip(b"=")}
    return {raw, raw.strip(), *lines, *encoded, quote(value, safe="").encode(), json.dumps(value)[1:-1].encode()}
