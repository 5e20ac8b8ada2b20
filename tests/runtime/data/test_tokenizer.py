"""BPE training, and tokenizers of model directories."""

import json
from pathlib import Path

import pytest

from workers.runtime.data.tokenizer import END_OF_TEXT, load_model_tokenizer, load_tokenizer, train_bpe
from workers.runtime.errors import UserError


@pytest.fixture
def model_dir(tmp_path: Path, corpus: Path) -> Path:
    """A directory with a trained tokenizer."""
    texts = [path.read_text() for path in sorted(corpus.iterdir())]
    train_bpe(texts, 400, lambda count: None).save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_any_text_survives_and_token_0_ends_a_document(model_dir: Path) -> None:
    loaded = load_tokenizer(model_dir / "tokenizer.json")
    assert loaded.vocab_size == 400
    assert loaded.end_of_text_id == 0
    text = "def f(x):\n\treturn 'gr\u00fc\u00df \u4f60\u597d \U0001f6a3'\x00"
    ids = loaded.tokenizer.encode(text).ids
    assert loaded.tokenizer.decode(ids) == text
    assert max(ids) < 400


def test_training_is_deterministic_and_counts_what_it_reads(corpus: Path) -> None:
    texts = [path.read_text() for path in sorted(corpus.iterdir())]
    counts: list[int] = []
    first = train_bpe(texts, 500, counts.append)
    assert counts == [len(text) for text in texts]
    assert first.to_str() == train_bpe(texts, 500, counts.append).to_str()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"tokenizer_config.json": {"eos_token": END_OF_TEXT}}, 0),
        ({"tokenizer_config.json": {"eos_token": {"content": END_OF_TEXT}}}, 0),
        ({"config.json": {"eos_token_id": 7}}, 7),
        ({"config.json": {"eos_token_id": [9, 8]}}, 9),
    ],
)
def test_end_of_sequence_is_found_where_models_keep_it(
    model_dir: Path, files: dict[str, dict[str, object]], expected: int
) -> None:
    for name, document in files.items():
        (model_dir / name).write_text(json.dumps(document))
    assert load_model_tokenizer(model_dir).end_of_text_id == expected


def test_directory_without_a_usable_tokenizer_is_refused(model_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="names no end-of-sequence token"):
        load_model_tokenizer(model_dir)
    (model_dir / "tokenizer_config.json").write_text('{"eos_token": "<none>"}')
    with pytest.raises(UserError, match="has no token '<none>'"):
        load_model_tokenizer(model_dir)
    (model_dir / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="is not a tokenizer"):
        load_model_tokenizer(model_dir)
    (model_dir / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="a fast tokenizer is needed"):
        load_model_tokenizer(tmp_path)
