"""What a network answers to samples as they were measured: names of classes, or quantities in their units."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autobp import costs
from autobp.nn import MLP
from autobp.training.measures import classes_of, predict, threshold_of
from autobp.training.samples import inputs_of


def answers(net: MLP, X: ArrayLike) -> NDArray[Any]:
    """What the network answers to rows as its data had them, unscaled.

    ``net.about`` says how to scale them, and what the outputs mean; ``autobp train`` saves it, and
    ``net.about = data.about()`` sets it.

    Args:
        net: the network.
        X: the inputs, (m, n), in their own units.

    Returns:
        The name of each row's class, (m,); or the quantity in its own units, (m,), or (m, K) for several.

    Raises ValueError where ``net.about`` is None or does not fit the network, X has another shape or an entry
    that is not finite, or nothing says from which output on one output means the second class.
    """
    about = net.about
    if about is None or not about.names:
        raise ValueError(
            "the network does not know what it was trained on; say net.about = data.about(), or take predict"
        )
    about.check_fits(net.sizes)
    outputs = predict(net, (inputs_of("", X, net) - np.array(about.offset)) / np.array(about.scale))
    if about.classes:
        known = costs.COSTS.get(about.cost)
        threshold = threshold_of(net, known.threshold if known and outputs.shape[1] == 1 else None)
        return np.asarray(np.array(about.classes)[classes_of(outputs, threshold)])
    quantities = outputs * np.array(about.target_scale) + np.array(about.target_offset)
    return np.asarray(quantities[:, 0] if outputs.shape[1] == 1 else quantities)
