"""The base of every contract model."""

from pydantic import BaseModel, ConfigDict


class ContractModel(BaseModel):
    """A frozen model that refuses unknown keys, NaN and silent coercion of strings to numbers."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        # strict except for what JSON cannot express (enums, tuples, dates arrive as strings and lists)
        coerce_numbers_to_str=False,
        protected_namespaces=(),
    )
