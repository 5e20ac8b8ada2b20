"""What GPTQ and SparseGPT share: the Cholesky factor of the inverse Hessian (arXiv:2210.17323, section 3, step 3).

Row j of the upper factor U of H^-1 holds, up to U_jj, the inverse of the Hessian of the columns from j on, which is
all that compensating column j's error in the columns after it needs.

Shapes: I = input features.
"""

import torch

from workers.runtime.errors import UserError

_MAX_TRIES = 6


def inverse_factor(hessian_II: torch.Tensor, *, damping: float) -> torch.Tensor:
    """Return U, upper triangular, with U^T U = (H + damping * mean(diag H) * 1)^-1.

    An input that is always zero gets 1 on the diagonal. Where rounding makes the damped Hessian indefinite the damping
    is raised tenfold.

    Raises:
        UserError: even strong damping does not help: the activations are not finite.
    """
    hessian_II = hessian_II.double()
    diagonal_I = hessian_II.diagonal()
    mean = float(diagonal_I.mean())
    is_dead_I = diagonal_I == 0
    for attempt in range(_MAX_TRIES):
        damped_II = hessian_II + torch.diag(is_dead_I.double() + max(damping * mean * 10**attempt, 1e-12))
        lower_II, failed = torch.linalg.cholesky_ex(damped_II)
        if not failed and bool(torch.isfinite(lower_II).all()):
            upper_II: torch.Tensor = torch.linalg.cholesky(torch.cholesky_inverse(lower_II), upper=True)
            return upper_II.float()
    raise UserError("calibration: the model's activations are not finite on these samples")
