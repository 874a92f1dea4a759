"""The matrix formulas of backpropagation in NumPy: a witness that knows nothing of the scalar graph.

Everything is written out here by itself, activations and costs and their derivatives included, so that
agreement with the scalar engine means something. Four ways lead to one gradient:

- `backprop`            BP1-BP4 for all samples at once (study note on Nielsen, chapter 2; the slides'
                        vectorised proof; without biases the induction proof),
- `accumulate`          the loop over samples that adds up Δ, then D (ML15),
- `brawer`              C, M and Ψ with the bias as node 0 (Brawer 2017, equations 5 to 48),
- `logistic_regression` Brawer's two-layer case (28)-(29).

**Numbering.** The documents call the input layer 1 and the output layer L; here the same layers have
the indices 0 to L-1. `z[l]`, `a[l]`, `sigma_prime[l]` and `delta[l]` belong to layer index l, with rows for
samples. `W[l]`, `b[l]`, `theta[l]`, `dW[l]` and `db[l]` lead from index l to index l+1: what the induction
proof, ML15 and Brawer call θ^(l+1), and the study note and the slides w^(l+2). So

    z[l+1] = a[l] @ W[l].T + b[l]        dW[l] = delta[l+1].T @ a[l] / m

At the input, as in Brawer, z[0] = a[0] = X and σ' = 1, whence delta[0] is ∂C_x/∂x, the derivative
by the inputs, which the documents leave out.
"""

from autobp.matrix.formulas import ACTIVATIONS, COSTS
from autobp.matrix.node_zero import (
    Accumulation,
    Brawer,
    accumulate,
    brawer,
    from_theta,
    logistic_regression,
    to_theta,
)  # fmt: skip
from autobp.matrix.vectorised import Backprop, Forward, backprop, forward

__all__ = [
    "ACTIVATIONS", "COSTS", "Accumulation", "Backprop", "Brawer", "Forward",
    "accumulate", "backprop", "brawer", "forward", "from_theta", "logistic_regression", "to_theta",
]  # fmt: skip
