"""Whether a student fits its teacher, told from the teacher's configuration before anything is started."""

from collections.abc import Mapping
from typing import Any

from workers.contract.compression.fit import Misfit
from workers.contract.model_source import DistilledModel, LlamaConfig, TeacherLayers
from workers.contract.training import TrainSpec

Config = Mapping[str, Any]  # config.json as it is stored: its shape is the model's own


def find_student_misfits(spec: TrainSpec, config: Config, *, teacher_parameters: int) -> list[Misfit]:
    """Say what of a distillation a teacher with this ``config.json`` cannot teach; empty when nothing is known.

    ``teacher_parameters`` is 0 where it is not known.
    """
    model = spec.model
    assert isinstance(model, DistilledModel)
    found = []
    longest = config.get("max_position_embeddings")
    if isinstance(longest, int) and spec.data.context_length > longest:
        found.append(
            Misfit("data.context_length", f"{spec.data.context_length} exceeds the teacher's {longest} positions")
        )
    depth = config.get("num_hidden_layers")
    if isinstance(model.student, TeacherLayers) and isinstance(depth, int):
        found += _layers(model.student, depth)
    vocabulary = config.get("vocab_size")
    if isinstance(model.student, LlamaConfig) and isinstance(vocabulary, int):
        message = size_problem(model, count_parameters(model.student, vocabulary), teacher_parameters)
        found += [Misfit("model.student", message)] if message else []
    return found


def size_problem(model: DistilledModel, student_parameters: int, teacher_parameters: int) -> str:
    """Say that a student has more parameters than it may; empty when it has not."""
    if model.max_parameters is not None and student_parameters > model.max_parameters:
        return f"it would have {student_parameters:,} parameters, more than max_parameters={model.max_parameters:,}"
    if model.max_parameters is None and 0 < teacher_parameters <= student_parameters:
        return (
            f"it would have {student_parameters:,} parameters, no fewer than its teacher's {teacher_parameters:,}; "
            "make it smaller, or set max_parameters if that is meant"
        )
    return ""


def count_parameters(config: LlamaConfig, vocabulary: int) -> int:
    """Return the number of parameters of a model of the Llama family, tied embeddings once."""
    width = config.hidden_size
    key_values = (config.num_kv_heads or config.num_heads) * (width // config.num_heads)
    block = 2 * width * width + 2 * width * key_values + 3 * width * config.intermediate_size + 2 * width
    embeddings = vocabulary * width * (1 if config.tie_embeddings else 2)
    return embeddings + config.num_layers * block + width


def _layers(student: TeacherLayers, depth: int) -> list[Misfit]:
    if student.layers[-1] >= depth:
        message = f"the teacher has {depth} blocks, 0 to {depth - 1}; there is no {student.layers[-1]}"
        return [Misfit("model.student.layers", message)]
    if len(student.layers) == depth:
        return [Misfit("model.student.layers", f"all {depth} blocks are the teacher itself: leave some out")]
    return []
