"""What the supervised processes say: prefixed on the terminal, whole in files that stay small."""

import os
from pathlib import Path

import pytest

from coxswain.stack.logs import OutputPump, RotatedFile


def test_full_file_becomes_an_old_one_and_only_so_many_are_kept(tmp_path: Path) -> None:
    file = RotatedFile(tmp_path / "web.log", max_bytes=20, num_old=2)
    for number in range(10):
        file.write(f"line {number}\n".encode())  # two fill a file
    file.close()
    kept = {path.name: path.read_text().splitlines() for path in tmp_path.iterdir()}
    assert kept == {
        "web.log": ["line 8", "line 9"],
        "web.log.1": ["line 6", "line 7"],
        "web.log.2": ["line 4", "line 5"],
    }


@pytest.mark.parametrize("echo", [True, False])
def test_each_line_is_kept_whole_and_repeated_with_its_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], echo: bool
) -> None:
    pump = OutputPump(tmp_path, echo=echo)
    ours, theirs = os.pipe()
    lines: list[bytes] = []
    pump.attach("web", os.fdopen(ours, "rb"), lines.append)
    os.write(theirs, b"first\nsec")
    pump.pump(1)
    os.write(theirs, b"ond\nlast words")
    os.close(theirs)
    pump.pump(1)
    pump.pump(1)
    pump.close()
    assert lines == [b"first", b"second", b"last words"]
    assert (tmp_path / "web.log").read_bytes() == b"first\nsecond\nlast words\n"
    shown = capsys.readouterr().out
    assert shown == ("      web | first\n      web | second\n      web | last words\n" if echo else "")
