"""Masking: no byte of a secret leaves, wherever the stream is cut, and offsets stay true."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.agent.redaction import Redactor

SECRETS = ("abcdefgh-secret", "secret-and-more", "line-one-of-key\nline-two-of-key")


def send(redactor: Redactor, data: bytes, cuts: list[int]) -> bytes:
    """Send a growing file as the tail does: what is held back is read again."""
    sent = b""
    for end in [*sorted(cut for cut in cuts if cut < len(data)), len(data)]:
        sent += redactor.cut(data[len(sent) : end], is_final=end == len(data))
    return sent


@given(
    st.lists(st.sampled_from([*SECRETS, "abcdefgh-secret-and-more", "abcd", "x\n", "line-one-of-key"]), max_size=8),
    st.lists(st.integers(0, 200), max_size=12),
)
def test_nothing_of_a_secret_leaves_wherever_it_is_cut(words: list[str], cuts: list[int]) -> None:
    redactor = Redactor()
    redactor.add(SECRETS)
    data = "".join(words).encode()
    sent = send(redactor, data, cuts)
    assert len(sent) == len(data)
    for secret in ("abcdefgh-secret", "secret-and-more", "line-one-of-key", "line-two-of-key"):
        assert secret.encode() not in sent
        start = data.find(secret.encode())
        while start >= 0:
            assert sent[start : start + len(secret)] == b"*" * len(secret), "all of it is masked, overlaps too"
            start = data.find(secret.encode(), start + 1)


@pytest.mark.parametrize(
    "form",
    [
        'p"ss/word with',
        base64.b64encode(b'p"ss/word with').decode().rstrip("="),
        "p%22ss%2Fword%20with",
        'p\\"ss/word with',
    ],
)
def test_other_spellings_are_masked(form: str) -> None:
    redactor = Redactor()
    redactor.add(['p"ss/word with'])
    assert redactor.text(f"<{form}>") == f"<{'*' * len(form)}>"


def test_without_secrets_nothing_is_touched_or_held_back() -> None:
    data = b"anything \xff at all"
    assert Redactor().cut(data, is_final=False) == data
