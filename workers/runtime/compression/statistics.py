"""What calibration says of the inputs of a linear layer.

Shapes: T = tokens, I = input features, O = output features.
"""

import torch


class InputStatistics:
    """Sums over all calibration tokens; one object serves layers that read the same input (q, k, v)."""

    def __init__(self, in_features: int, device: torch.device) -> None:
        self.hessian_II = torch.zeros(in_features, in_features, device=device)
        """X^T X / T: up to a factor the Hessian of the layer's squared output error."""
        self.abs_max_I = torch.zeros(in_features, device=device)
        self.abs_sum_I = torch.zeros(in_features, device=device)
        self.num_tokens = 0

    def add(self, inputs: torch.Tensor) -> None:
        """Take over a batch of inputs whose last dimension is I."""
        x_TI = inputs.detach().reshape(-1, inputs.shape[-1]).float()
        total = self.num_tokens + x_TI.shape[0]
        self.hessian_II.mul_(self.num_tokens / total).addmm_(x_TI.T, x_TI, alpha=1 / total)
        self.abs_max_I = torch.maximum(self.abs_max_I, x_TI.abs().amax(dim=0))
        self.abs_sum_I += x_TI.abs().sum(dim=0)
        self.num_tokens = total

    @property
    def rms_I(self) -> torch.Tensor:
        """Root mean square of each input feature."""
        return self.hessian_II.diagonal().clamp_min(0).sqrt()

    @property
    def abs_mean_I(self) -> torch.Tensor:
        """Mean absolute value of each input feature."""
        return self.abs_sum_I / max(1, self.num_tokens)


def output_error(before_OI: torch.Tensor, after_OI: torch.Tensor, statistics: InputStatistics) -> float:
    """Return the relative root mean square error of the layer's outputs on the calibration tokens.

    ||X dW^T||_F / ||X W^T||_F, from the Hessian alone: the squared norm is T tr(dW H dW^T).
    """
    change_OI = after_OI.float() - before_OI.float()
    return _ratio(_energy(change_OI, statistics.hessian_II), _energy(before_OI.float(), statistics.hessian_II))


def weight_error(before_OI: torch.Tensor, after_OI: torch.Tensor) -> float:
    """Return ||dW||_F / ||W||_F."""
    change = float((after_OI.float() - before_OI.float()).square().sum())
    return _ratio(change, float(before_OI.float().square().sum()))


def _energy(w_OI: torch.Tensor, hessian_II: torch.Tensor) -> float:
    return float(((w_OI @ hessian_II) * w_OI).sum())


def _ratio(change: float, whole: float) -> float:
    return (max(0.0, change) / whole) ** 0.5 if whole > 0 else 0.0
