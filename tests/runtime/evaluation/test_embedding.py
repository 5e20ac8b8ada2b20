"""Encoders: embeddings against another version's, on a small BERT."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, BertConfig, BertModel

from tests.runtime.ranks import Launcher
from workers.contract.evaluation.result import EvaluationResult
from workers.contract.run import FailureEvent, ResultEvent
from workers.runtime.data.documents import read_pieces, survey
from workers.runtime.data.sampler import spread
from workers.runtime.data.tokenizer import read_tokenizer, train_bpe

pytestmark = pytest.mark.gloo


@pytest.fixture
def encoder(tmp_path: Path, corpus: Path) -> Path:
    """Return the directory of a BERT with random weights and a tokenizer that names no end of a document."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=300, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64,
    )  # fmt: skip
    directory = tmp_path / "encoder"
    BertModel(config).save_pretrained(directory)
    tokenizer = train_bpe([next(corpus.glob("*.txt")).read_text()], 300, lambda _: None)
    tokenizer.save(str(directory / "tokenizer.json"))
    return directory


def _spec(**fields: Any) -> dict[str, Any]:
    sampling = {"num_samples": 10, "length": 48, "batch_size": 4}
    return {"kind": "evaluate", "model": "x", "dataset": "corpus"} | sampling | fields


def test_cosine_of_a_narrower_copy_is_what_the_definition_gives(
    encoder: Path, launcher: Launcher, corpus: Path, tmp_path: Path
) -> None:
    model = AutoModel.from_pretrained(encoder).eval()
    narrow = tmp_path / "narrow"
    AutoModel.from_pretrained(encoder).to(torch.bfloat16).save_pretrained(narrow)
    (narrow / "tokenizer.json").write_bytes((encoder / "tokenizer.json").read_bytes())
    run = launcher.run(_spec(), model_dir=str(narrow), reference_dir=str(encoder))
    assert run.codes == [0], run.stderr()
    (event,) = [event for event in run.events() if isinstance(event, ResultEvent)]
    assert isinstance(event.result, EvaluationResult)
    found = {measurement.metric: measurement for measurement in event.result.measurements}
    assert set(found) == {"embedding_cosine", "size_on_disk_bytes", "size_in_memory_bytes"}
    rounded = AutoModel.from_pretrained(narrow).float().eval()
    tokenizer, texts = read_tokenizer(encoder), [piece.text for piece in read_pieces(corpus, survey(corpus), 0)]
    cosines = []
    for index in spread(len(texts), 10):  # one text at a time: no padding
        ids = torch.tensor([tokenizer.encode(texts[index]).ids[:48]])
        with torch.inference_mode():
            ours, theirs = (each(input_ids=ids).last_hidden_state.mean(1) for each in (rounded, model))
        cosines.append(float(torch.nn.functional.cosine_similarity(ours, theirs)))
    assert found["embedding_cosine"].value == pytest.approx(sum(cosines) / len(cosines), abs=1e-5)
    assert 0.99 < found["embedding_cosine"].value < 1
    assert found["size_in_memory_bytes"].dtype == "bf16"


def test_encoder_predicts_no_tokens(encoder: Path, launcher: Launcher) -> None:
    assert json.loads((encoder / "config.json").read_text())["architectures"] == ["BertModel"]
    run = launcher.run(_spec(measure=["perplexity"]), model_dir=str(encoder))
    failure = run.events()[-1]
    assert isinstance(failure, FailureEvent)
    assert "perplexity cannot be measured: the model is an encoder" in failure.message
