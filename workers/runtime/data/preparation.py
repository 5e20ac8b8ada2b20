"""Making (or finding) the tokenizer and the packed streams of a dataset in the node's cache.

Both are named by a digest of what they depend on. One process of the node makes what is missing, under
a lock that dies with it; the others wait and find it, as does the next job on the same data.
"""

import fcntl
import hashlib
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from workers.contract.training import BPETokenizer, ModelTokenizer, TokenizerSource, TrainSpec
from workers.runtime.context import RankContext
from workers.runtime.data.agreement import lead_and_agree
from workers.runtime.data.documents import Piece, Survey, digest_of_dataset, read_pieces, survey
from workers.runtime.data.shards import ShardWriter, TokenStream
from workers.runtime.data.tokenizer import (
    TOKENIZER_FILE,
    LoadedTokenizer,
    encoding_threads,
    load_model_tokenizer,
    load_tokenizer,
    train_bpe,
)
from workers.runtime.errors import UserError
from workers.runtime.files import publish

_FORMAT = 1  # part of every name: counts up when the same input would give other bytes
_ENCODE_BATCH = 64
_POLL_S = 0.05
_PROGRESS_S = 0.5


@dataclass(frozen=True)
class PreparedData:
    """What a model trains on."""

    tokenizer: LoadedTokenizer
    train: TokenStream
    validation: TokenStream
    digest: str


def prepare_data(spec: TrainSpec, context: RankContext) -> PreparedData:
    """Return the dataset's tokenizer and streams, made now if the cache lacks them.

    Raises:
        UserError: the dataset, or the model's tokenizer, cannot be used.
        StopRequested: asked to stop meanwhile.
    """
    return _prepare(_Wanted(spec.data.validation_pct, spec.tokenizer), context)


def prepare_for_model(context: RankContext, *, validation_pct: float) -> PreparedData:
    """Return the dataset's streams in the tokens of the run's model; the same share is held out as in training.

    Raises:
        UserError: the dataset, or the model's tokenizer, cannot be used.
        StopRequested: asked to stop meanwhile.
    """
    return _prepare(_Wanted(validation_pct, ModelTokenizer()), context)


@dataclass(frozen=True)
class _Wanted:
    """What the streams depend on beside the dataset."""

    validation_pct: float
    tokenizer: TokenizerSource


def _prepare(wanted: _Wanted, context: RankContext) -> PreparedData:
    dataset = context.paths.dataset
    if dataset is None:
        raise UserError("data.dataset: the run file names no dataset directory")

    def prepare() -> PreparedData:
        digest = context.paths.dataset_digest or digest_of_dataset(dataset)
        preparation = _Preparation(wanted, context, dataset, digest)
        return preparation.streams(preparation.tokenizer())

    return lead_and_agree(context, prepare, identity=lambda data: data.digest)


class _Preparation:
    """One dataset on its way into the cache."""

    def __init__(self, wanted: _Wanted, context: RankContext, dataset: Path, digest: str) -> None:
        self._wanted = wanted
        self._context = context
        self._dataset = dataset
        self._digest = digest
        self._cache = context.paths.cache
        self._survey: Survey | None = None

    def tokenizer(self) -> LoadedTokenizer:
        source = self._wanted.tokenizer
        if not isinstance(source, BPETokenizer):
            if self._context.paths.model is None:
                raise UserError("model.model: the run file names no model directory")
            return load_model_tokenizer(self._context.paths.model)
        key = _key("tokenizer", self._digest, self._wanted.validation_pct, source.vocab_size)
        directory = self._cache / "tokenizers" / key
        self._make_once(directory, lambda temporary: self._train_tokenizer(temporary, source.vocab_size))
        return load_tokenizer(directory / TOKENIZER_FILE)

    def streams(self, tokenizer: LoadedTokenizer) -> PreparedData:
        key = _key("stream", self._digest, self._wanted.validation_pct, tokenizer.digest)
        directory = self._cache / "streams" / key
        self._make_once(directory, lambda temporary: self._pack(temporary, tokenizer))
        return PreparedData(
            tokenizer, TokenStream.open(directory / "train"), TokenStream.open(directory / "validation"), key
        )

    def _make_once(self, directory: Path, make: Callable[[Path], None]) -> None:
        while not _hold(directory):
            with _lock(self._cache / "locks" / f"{directory.name}.lock", self._context.stop.raise_if_wished):
                if not directory.exists():
                    publish(directory, make)

    def _train_tokenizer(self, directory: Path, vocab_size: int) -> None:
        report = self._progress("tokenizer")
        texts = (piece.text for piece in self._pieces() if not piece.is_validation)
        tokenizer = train_bpe(texts, vocab_size, report)
        tokenizer.save(str(directory / TOKENIZER_FILE))

    def _pack(self, directory: Path, tokenizer: LoadedTokenizer) -> None:
        report = self._progress("tokenize")
        train = ShardWriter(directory / "train", tokenizer.vocab_size)
        validation = ShardWriter(directory / "validation", tokenizer.vocab_size)
        pieces = self._pieces()
        with encoding_threads():
            while group := list(itertools.islice(pieces, _ENCODE_BATCH)):
                encodings = tokenizer.tokenizer.encode_batch_fast(
                    [piece.text for piece in group], add_special_tokens=False
                )
                for piece, encoding in zip(group, encodings, strict=True):
                    writer = validation if piece.is_validation else train
                    writer.append(encoding.ids)
                    if piece.ends_document:
                        writer.append([tokenizer.end_of_text_id])
                    report(len(piece.text))
        train.close()
        validation.close()

    def _pieces(self) -> Iterator[Piece]:
        if self._survey is None:
            self._survey = survey(self._dataset)
        return read_pieces(self._dataset, self._survey, self._wanted.validation_pct)

    def _progress(self, phase: str) -> Callable[[int], None]:
        """Return a function that counts characters, tells how far they are, and heeds the wish to stop."""
        if self._survey is None:
            self._context.phase(phase, 0.0)  # the survey itself takes a while
            self._survey = survey(self._dataset)
        total = self._survey.num_chars
        done = 0
        told = 0.0

        def report(num_chars: int) -> None:
            nonlocal done, told
            done += num_chars
            if (now := time.monotonic()) - told >= _PROGRESS_S:
                told = now
                self._context.phase(phase, done / total)
                self._context.stop.raise_if_wished()

        return report


def _hold(directory: Path) -> bool:
    """Take an entry for the rest of this process' life, and say that it was used now; False when there is none.

    The cache's owner drops what was used longest ago, but nothing that a process holds: the descriptor with the shared
    lock is left open on purpose.
    """
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    fcntl.flock(fd, fcntl.LOCK_SH)
    try:
        is_there = os.path.samestat(os.fstat(fd), directory.stat())
    except FileNotFoundError:  # dropped between the two calls
        is_there = False
    if is_there:
        os.utime(directory)
    else:
        os.close(fd)
    return is_there


@contextmanager
def _lock(path: Path, while_waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock among the node's processes; the kernel frees it when its holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                while_waiting()
                time.sleep(_POLL_S)
        yield


def _key(*parts: object) -> str:
    return hashlib.sha256(json.dumps([_FORMAT, *parts]).encode()).hexdigest()
