"""Output of the supervised processes: cut into lines, prefixed for the terminal, kept in rotated files."""

import os
import selectors
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

MAX_FILE_BYTES = 10 * 1024 * 1024
NUM_OLD_FILES = 3
_MAX_LINE_BYTES = 64 * 1024
_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92)  # ANSI foreground codes


class RotatedFile:
    """An append-only file that becomes ``<name>.1``, ``.2``, ... when it is full."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_FILE_BYTES, num_old: int = NUM_OLD_FILES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._num_old = num_old
        self._stream = self._open()

    def write(self, line: bytes) -> None:
        """Append one line and hand it to the kernel at once."""
        if self._stream.tell() + len(line) > self._max_bytes and self._stream.tell() > 0:
            self._rotate()
        self._stream.write(line)
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _open(self) -> IO[bytes]:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        stream = os.fdopen(descriptor, "ab")
        stream.seek(0, os.SEEK_END)
        return stream

    def _rotate(self) -> None:
        self._stream.close()
        for number in range(self._num_old, 0, -1):
            source = self.path if number == 1 else self._numbered(number - 1)
            if source.exists():
                source.replace(self._numbered(number))
        self._stream = self._open()

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


class OutputPump:
    """Reads the output pipes of all children in one thread; ``pump`` is the supervisor's only way to wait."""

    def __init__(self, folder: Path, *, echo: bool) -> None:
        self._folder = folder
        self._echo = echo
        self._selector = selectors.DefaultSelector()
        self._files: dict[str, RotatedFile] = {}
        self._rests: dict[int, bytes] = {}

    def attach(self, name: str, pipe: IO[bytes], on_line: Callable[[bytes], None]) -> None:
        """Follow ``pipe`` under the name of its process; ``on_line`` sees each line without its newline."""
        os.set_blocking(pipe.fileno(), False)
        self._files.setdefault(name, RotatedFile(self._folder / f"{name}.log"))
        self._selector.register(pipe, selectors.EVENT_READ, (pipe, name, on_line))

    def pump(self, timeout_s: float) -> None:
        """Wait up to ``timeout_s`` seconds for output, and pass on what came."""
        for key, _ in self._selector.select(timeout_s):
            pipe, name, on_line = key.data
            try:
                data = os.read(key.fd, 65536)
            except BlockingIOError:
                continue
            if not data:
                self._detach(key.fd, pipe, name, on_line)
                continue
            *lines, rest = (self._rests.pop(key.fd, b"") + data).split(b"\n")
            if len(rest) > _MAX_LINE_BYTES:
                lines, rest = [*lines, rest], b""
            self._rests[key.fd] = rest
            for line in lines:
                self._take(name, line, on_line)

    def say(self, name: str, text: str) -> None:
        """Write a line of the supervisor's own under the name of a process."""
        self._files.setdefault(name, RotatedFile(self._folder / f"{name}.log"))
        self._take(name, text.encode(), lambda _: None)

    def tail(self, name: str, num_lines: int = 15) -> str:
        """The end of a process' log."""
        path = self._folder / f"{name}.log"
        if not path.exists():
            return ""
        return "\n".join(path.read_text(errors="replace").splitlines()[-num_lines:])

    def close(self) -> None:
        """Pass on what is left and close the files."""
        self.pump(0)
        for file in self._files.values():
            file.close()
        self._selector.close()

    def _detach(self, descriptor: int, pipe: IO[bytes], name: str, on_line: Callable[[bytes], None]) -> None:
        self._selector.unregister(pipe)
        rest = self._rests.pop(descriptor, b"")
        if rest:
            self._take(name, rest, on_line)
        pipe.close()

    def _take(self, name: str, line: bytes, on_line: Callable[[bytes], None]) -> None:
        on_line(line)
        self._files[name].write(line + b"\n")
        if self._echo:
            colour = _COLOURS[list(self._files).index(name) % len(_COLOURS)]
            text = line.decode(errors="replace")
            prefix = f"\x1b[{colour}m{name:>9} |\x1b[0m" if sys.stdout.isatty() else f"{name:>9} |"
            sys.stdout.write(f"{prefix} {text}\n")
            sys.stdout.flush()
