"""Train on real handwritten digits, scalar by scalar, and check every gradient against BP1-BP4.

The 1,797 scans of 8×8 pixels are those that scikit-learn carries. The network is 64-32-10 with a softmax
output under cross-entropy; its cost is written for one sample, in scalar operations.
"""

import sys

import autobp
from autobp import MLP, datasets


def main() -> int:
    data = datasets.load("digits")
    net = MLP(64, [32, 10], activation=["tanh", "linear"], init="xavier", seed=0)
    history = autobp.fit(
        net, data.X, data.Y, cost="softmax_cross_entropy", epochs=20, l2=0.1, seed=0,
        validation=(data.X_test, data.Y_test),
    )  # fmt: skip
    print(f"cost {history.cost[0]:.3f} after the first epoch, {history.cost[-1]:.3f} after the last")
    print(f"held-out accuracy {100 * autobp.accuracy(net, data.X_test, data.Y_test):.1f} %")

    report = autobp.check.compare(net, data.X_test[:8], data.Y_test[:8], cost="softmax_cross_entropy", l2=0.1)
    print(report)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
