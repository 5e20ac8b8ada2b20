"""Answer a prompt with the model beside this file. Needs onnxruntime, numpy and tokenizers (requirements.txt).

python run.py "Once upon a time" --tokens 64 --temperature 0.8
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

FOLDER = Path(__file__).resolve().parent


def answer(prompt: str, *, tokens: int, temperature: float, seed: int) -> Iterator[str]:
    """Yield the completion piece by piece; temperature 0 takes the likeliest token."""
    facts = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    session = onnxruntime.InferenceSession(str(FOLDER / "model.onnx"), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(seed)
    ids = tokenizer.encode(prompt, add_special_tokens=False).ids or [facts["end_of_text_id"]]
    start, shown = len(ids), ""
    for _ in range(tokens):
        window = np.array([ids[-facts["max_length"] :]], dtype=np.int64)
        (logits,) = session.run(["logits"], {"input_ids": window})
        scaled = logits[0, -1].astype(np.float64) / (temperature or 1.0)
        shares = np.exp(scaled - scaled.max())
        token = random.choice(len(shares), p=shares / shares.sum()) if temperature else scaled.argmax()
        if token == facts["end_of_text_id"]:
            return
        ids.append(int(token))
        text = tokenizer.decode(ids[start:])
        if not text.endswith("\ufffd"):  # a character may take several tokens
            yield text[len(shown) :]
            shown = text


def damaged_files() -> list[str]:
    """Name the files whose content is not what the manifest says."""
    files = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))["files"]
    return [name for name, sha256 in files.items()
            if hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() != sha256]  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prompt")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--verify", action="store_true", help="check the files' digests first")
    given = parser.parse_args()
    if given.verify and (damaged := damaged_files()):
        sys.exit(f"damaged: {', '.join(damaged)}")
    for piece in answer(given.prompt, tokens=given.tokens, temperature=given.temperature, seed=given.seed):
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
