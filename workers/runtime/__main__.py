"""``torchrun -m workers.runtime FILE``: run a job with no control plane near it.

FILE is a RunFile, or a bare job spec; in a bare spec the dataset and the model are local paths.
"""

import argparse
import json
import sys
from pathlib import Path

from pydantic import ValidationError

from workers.runtime.environment import prepare_environment, rank_environment

prepare_environment()  # before anything imports torch

from workers.contract.compression.recipe import CompressSpec  # noqa: E402
from workers.contract.evaluation.spec import EvaluateSpec  # noqa: E402
from workers.contract.export import ExportSpec  # noqa: E402
from workers.contract.generation import GenerateSpec  # noqa: E402
from workers.contract.jobs import AnySpec  # noqa: E402
from workers.contract.model_source import DistilledModel, PretrainedModel  # noqa: E402
from workers.contract.run import RunFile  # noqa: E402
from workers.contract.training import TrainSpec  # noqa: E402
from workers.contract.upgrades import Document, load_spec  # noqa: E402

EXIT_USAGE = 64


def main(argv: list[str] | None = None) -> int:
    """Run this process' rank of the job in FILE and return its exit code."""
    arguments = _parse(argv)
    try:
        run = load_run(arguments.file, arguments.output_dir, arguments.resume_from)
        if arguments.collective_timeout is not None:
            run = run.model_copy(update={"collective_timeout_s": arguments.collective_timeout})
    except (OSError, ValueError) as error:
        if rank_environment().rank == 0:  # every rank reads the same file; one complaint is enough
            sys.stderr.write(f"{arguments.file}: {_shorten(error)}\n")
        return EXIT_USAGE
    from workers.runtime.rank import run_from

    return run_from(run)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="workers.runtime", description="Run a training job from a file.")
    parser.add_argument("file", type=Path, help="a job spec or a run file, JSON")
    parser.add_argument("--output-dir", type=Path, help="where results go (default: ./runs/<name of FILE>)")
    parser.add_argument(
        "--collective-timeout", type=float, metavar="S", help="seconds a rank waits for its peers (default: 600)"
    )
    parser.add_argument("--resume-from", help="a checkpoint directory, or `latest` of the output directory")
    return parser.parse_args(argv)


def load_run(file: Path, output_dir: Path | None = None, resume_from: str | None = None) -> RunFile:
    """Read a RunFile, or wrap a bare spec into one with local defaults.

    Raises:
        ValueError: the file is neither.
        OSError: it cannot be read.
    """
    document = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise ValueError("expected a JSON object: a job spec or a run file")  # noqa: TRY004  the file is at fault
    run = RunFile.model_validate_json(json.dumps(document)) if "spec" in document else _wrap(document, file)
    changes: dict[str, str] = {}
    if output_dir is not None:
        changes["output_dir"] = str(output_dir.absolute())
    if resume_from == "latest":
        from workers.runtime.checkpoint import latest_checkpoint

        latest = latest_checkpoint(output_dir or Path(run.output_dir))
        if latest is not None:  # none yet: the first start of a command that is meant to be repeated
            changes["resume_from"] = str(latest)
    elif resume_from is not None:
        changes["resume_from"] = resume_from
    return run.model_copy(update=changes)


def _wrap(document: Document, file: Path) -> RunFile:
    spec = load_spec(document)
    dataset, model, reference = _local_inputs(spec)
    return RunFile(
        spec=spec,
        output_dir=str(Path("runs", file.stem).absolute()),
        cache_dir=str(Path.home() / ".cache" / "coxswain"),
        dataset_dir=dataset,
        model_dir=model,
        reference_dir=reference,
    )


def _local_inputs(spec: AnySpec) -> tuple[str | None, str | None, str | None]:
    """Return the paths of the dataset, of the model and of the one to compare with that a bare spec names."""
    if isinstance(spec, TrainSpec):
        source = spec.model
        named = source.model if isinstance(source, PretrainedModel) else None
        return spec.data.dataset, source.teacher if isinstance(source, DistilledModel) else named, None
    if isinstance(spec, CompressSpec):
        return spec.calibration.dataset if spec.calibration else None, spec.model, None
    if isinstance(spec, EvaluateSpec):
        return spec.dataset, spec.model, spec.reference
    if isinstance(spec, GenerateSpec | ExportSpec):
        return None, spec.model, None
    raise ValueError("a script needs no runtime: start it with torchrun, or by hand")


def _shorten(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())


if __name__ == "__main__":
    sys.exit(main())
