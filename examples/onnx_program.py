"""A program in scalars as an ONNX file, which onnxruntime runs: no Python of autobp's is needed for that.

The program simulates a damped pendulum by fifty steps of Heun's method, for any number of pendulums at once.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

import autobp
from autobp import Value

STEPS, H = 50, 0.1


def main() -> int:
    damping, stiffness = parameters = [Value(0.2, label="damping"), Value(4.0, label="stiffness")]

    def slopes(angle: Value, speed: Value) -> tuple[Value, Value]:
        return speed, -stiffness * autobp.sin(angle) - damping * speed

    def simulated(start: list[Value]) -> list[Value]:
        angle, speed = start
        for _ in range(STEPS):
            da, ds = slopes(angle, speed)
            db, dt = slopes(angle + H * da, speed + H * ds)
            angle, speed = angle + 0.5 * H * (da + db), speed + 0.5 * H * (ds + dt)
        return [angle, speed]

    starts = np.random.default_rng(0).uniform(-2.0, 2.0, size=(1000, 2))
    step = autobp.compile(simulated, parameters, example=(starts[0],))
    with tempfile.TemporaryDirectory() as folder:
        path = autobp.to_onnx(step, Path(folder) / "pendulum.onnx", dtype="float32")
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
        session = onnxruntime.InferenceSession(str(path))
        (found,) = session.run(["outputs"], {"start": starts.astype(np.float32)})
    away = np.abs(found - step(step.theta, starts)).max()
    print(f"{len(found)} pendulums; in float32 the largest difference is {away:.1e}")
    return 0 if away < 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
