"""Models of others: their weights are read, their code never runs."""

import json
from pathlib import Path

import pytest

from workers.runtime.errors import UserError
from workers.runtime.model import load_pretrained


def test_code_that_a_model_directory_brings_along_is_not_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    model_dir = tmp_path / "model"
    model_dir.mkdir()
    code = f"from pathlib import Path\nPath({str(ran)!r}).touch()\n"
    (model_dir / "configuration_own.py").write_text(code + "class OwnConfig: ...\n")
    (model_dir / "modeling_own.py").write_text(code + "class OwnModel: ...\n")
    config = {
        "model_type": "own",
        "auto_map": {"AutoConfig": "configuration_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnModel"},
    }
    (model_dir / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="cannot be loaded"):
        load_pretrained(model_dir)
    assert not ran.exists()
