"""Pictures of a training: learning curve, gradient norms, decision boundary, confusion matrix, predictions.

Each function returns a matplotlib Figure: ``figure.savefig("curve.svg")`` writes it in the format of the
file's ending, and a notebook shows it. The figures belong to no pyplot session, so that nothing has to be
closed and no display is needed. Colours are those of Okabe and Ito, which colour-blind readers can tell
apart; line styles and markers say the same once more for print.

matplotlib comes with the extra ``examples``; importing this module does not need it.
"""

from autobp.plots.confusion import confusion_matrix
from autobp.plots.epochs import gradient_norms, learning_curve
from autobp.plots.figures import COLOURS, MARKERS
from autobp.plots.plane import Snapshots, decision_boundary
from autobp.plots.quantities import predicted_against_measured

__all__ = [
    "COLOURS", "MARKERS", "Snapshots", "confusion_matrix", "decision_boundary", "gradient_norms",
    "learning_curve", "predicted_against_measured",
]  # fmt: skip
