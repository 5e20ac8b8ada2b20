"""What versions were measured to be, what models ask of them, and moving them between stages."""

import builtins
import time
from typing import Any

from coxswain.client.errors import CoxswainError
from coxswain.client.models import Comparison, Evaluation, ModelVersion, Production, Promotion, Rule
from coxswain.client.transport import Json, Transport

_POLL_S = 1.0


class Lifecycle:
    """Evaluations, rules, promotions. A model is named by its id or its name, a version by its id or ``tiny_v3``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def evaluations(self, version: str, *, limit: int = 200) -> list[Evaluation]:
        """List a version's figures, newest first."""
        pages = self._transport.pages(f"model-versions/{version}/evaluations", limit=limit)
        return [Evaluation.model_validate(item) for item in pages]

    def comparison(self, model: str, **query: str) -> Comparison:
        """Compare a model's versions."""
        return Comparison.model_validate(self._transport.get(f"models/{self.model_id(model)}/comparison", **query))

    def rules(self, model: str) -> list[Rule]:
        """List a model's rules."""
        pages = self._transport.pages(f"models/{self.model_id(model)}/rules")
        return [Rule.model_validate(item) for item in pages]

    def add_rule(self, model: str, **fields: Any) -> Rule:
        """Make a rule: ``metric``, ``against``, ``bound`` or ``tolerance_pct``, ``dataset``, ``settings``."""
        return Rule.model_validate(self._transport.post(f"models/{self.model_id(model)}/rules", fields))

    def delete_rule(self, model: str, rule: str) -> None:
        """Drop a rule."""
        self._transport.request("DELETE", f"models/{self.model_id(model)}/rules/{rule}")

    def promote(self, version: str, **fields: Any) -> Promotion:
        """Ask for a promotion: ``target``, ``reason``, ``override``, ``replaces``, ``pool``."""
        return Promotion.model_validate(self._transport.post(f"model-versions/{version}/promotions", fields))

    def wait_decided(self, promotion: Promotion, *, timeout_s: float = 3600.0) -> Promotion:
        """Wait until a promotion is decided.

        Raises:
            CoxswainError: it was not within ``timeout_s``.
        """
        deadline = time.monotonic() + timeout_s
        while promotion.state == "pending":
            if time.monotonic() > deadline:
                raise CoxswainError(f"The promotion of {promotion.version_name} still waits for its evaluations")
            time.sleep(_POLL_S)
            pages = self._transport.pages(f"model-versions/{promotion.version}/promotions")
            promotion = next(Promotion.model_validate(item) for item in pages if item["id"] == promotion.id)
        return promotion

    def production(self, model: str, *, at: str | None = None) -> Production:
        """Tell what a model has in production, or had at a time (ISO 8601)."""
        return Production.model_validate(self._transport.get(f"models/{self.model_id(model)}/production", at=at))

    def switch(self, model: str, version: str | None, *, reason: str = "") -> Production:
        """Switch back to a version that was in production before; None leaves nothing there."""
        body = {"version": version, "reason": reason}
        return Production.model_validate(self._transport.post(f"models/{self.model_id(model)}/production", body))

    def retire(self, version: str, *, reason: str = "") -> ModelVersion:
        """Take a version out of use."""
        return ModelVersion.model_validate(self._transport.post(f"model-versions/{version}/retire", {"reason": reason}))

    def model_id(self, model: str) -> str:
        """Return the id of a model given by its id or name.

        Raises:
            CoxswainError: there is none, or several workspaces have one of this name.
        """
        named: builtins.list[Json] = [
            item for item in self._transport.pages("models", name=model) if item["name"] == model
        ]
        if len(named) > 1:
            raise CoxswainError(f"Several workspaces have a model {model!r}: use its id")
        return str(named[0]["id"]) if named else model
