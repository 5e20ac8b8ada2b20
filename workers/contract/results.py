"""What jobs report beside files, by kind; stored as the job's result."""

from typing import Annotated

from pydantic import Field

from workers.contract.compression.result import CompressionResult
from workers.contract.evaluation.result import EvaluationResult
from workers.contract.export import ExportResult

JobResult = Annotated[CompressionResult | EvaluationResult | ExportResult, Field(discriminator="kind")]
