"""Tokenizers: byte-level BPE trained on the corpus, or the one that comes with a pretrained model.

BPE: Sennrich et al., arXiv:1508.07909, on bytes as in GPT-2, so that any text can be encoded.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from workers.runtime.errors import UserError

END_OF_TEXT = "<|endoftext|>"
TOKENIZER_FILE = "tokenizer.json"


@dataclass(frozen=True)
class LoadedTokenizer:
    """A tokenizer and what identifies it."""

    tokenizer: Tokenizer
    end_of_text_id: int
    digest: str

    @property
    def vocab_size(self) -> int:
        """Tokens, special ones included."""
        return int(self.tokenizer.get_vocab_size(with_added_tokens=True))


@contextmanager
def encoding_threads() -> Iterator[None]:
    """Let the tokenizers library use all cores within the block; it reads the variable at each call."""
    before = os.environ.get("TOKENIZERS_PARALLELISM", "false")
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    try:
        yield
    finally:
        os.environ["TOKENIZERS_PARALLELISM"] = before


def train_bpe(texts: Iterable[str], vocab_size: int, on_piece: Callable[[int], None]) -> Tokenizer:
    """Train a byte-level BPE tokenizer whose token 0 is the end of text.

    ``on_piece`` is called with the number of characters of each text as it is read.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )

    def read() -> Iterator[str]:
        for text in texts:
            on_piece(len(text))
            yield text

    with encoding_threads():
        tokenizer.train_from_iterator(read(), trainer)
    return tokenizer


def load_tokenizer(path: Path) -> LoadedTokenizer:
    """Load a tokenizer that this runtime has trained.

    Raises:
        UserError: the file is not a tokenizer.
    """
    tokenizer = _from_file(path)
    return LoadedTokenizer(tokenizer, _token_id(tokenizer, END_OF_TEXT, path), _digest(path))


def load_model_tokenizer(model_dir: Path) -> LoadedTokenizer:
    """Load the fast tokenizer of a model directory; documents end with the model's end-of-sequence token.

    Raises:
        UserError: the directory has no ``tokenizer.json``, or names no end-of-sequence token.
    """
    tokenizer = read_tokenizer(model_dir)
    return LoadedTokenizer(tokenizer, _end_of_sequence_id(tokenizer, model_dir), _digest(model_dir / TOKENIZER_FILE))


def read_tokenizer(model_dir: Path) -> Tokenizer:
    """Load the fast tokenizer of a model directory, whether or not it has tokens that end a document.

    Raises:
        UserError: the directory has no ``tokenizer.json``.
    """
    path = model_dir / TOKENIZER_FILE
    if not path.is_file():
        raise UserError(f"model: {model_dir} has no {TOKENIZER_FILE}: a fast tokenizer is needed")
    return _from_file(path)


def _from_file(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise UserError(f"{path} is not a tokenizer: {error}") from error


def _end_of_sequence_id(tokenizer: Tokenizer, model_dir: Path) -> int:
    config = _read_json(model_dir / "tokenizer_config.json")
    token = config.get("eos_token")
    if isinstance(token, dict):
        token = token.get("content")
    if isinstance(token, str):
        return _token_id(tokenizer, token, model_dir)
    ids = _read_json(model_dir / "config.json").get("eos_token_id")
    if isinstance(ids, list) and ids:
        ids = ids[0]
    if not isinstance(ids, int):
        raise UserError(f"model: {model_dir} names no end-of-sequence token")
    return ids


def _read_json(path: Path) -> dict[str, object]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _token_id(tokenizer: Tokenizer, token: str, where: Path) -> int:
    number = tokenizer.token_to_id(token)
    if number is None:
        raise UserError(f"{where}: the tokenizer has no token {token!r}")
    return int(number)


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
