"""The ``autobp`` command: check, draw, explain and train from the terminal."""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import autobp
from autobp import check, costs, nn, optim
from autobp.activations import known_activations
from autobp.arguments import unknown
from autobp.explanation.notation import NOTATIONS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from autobp.datasets import Dataset
    from autobp.plots import Snapshots

    Array = NDArray[np.float64]


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 1 checked and differing, 2 bad arguments."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: print(
                f"{parser.prog} {options.command}: {message}", file=sys.stderr
            )
            status: int = options.run(options)
        return status
    except BrokenPipeError:  # whoever reads the output has enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return 0
    except (ValueError, OSError, ImportError) as error:
        print(f"{parser.prog} {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{parser.prog} {options.command}: interrupted", file=sys.stderr)
        return 130


def _parser() -> Parser:
    parser = Parser(
        prog="autobp",
        description="Write scalars, see every derivative, run at matrix speed.",
        epilog="Each command has its own --help, with examples.",
    )
    parser.add_argument("--version", action="version", version=f"autobp {autobp.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_check(commands)
    _add_draw(commands)
    _add_explain(commands)
    _add_train(commands)
    return parser


def _command(commands: Any, name: str, summary: str, examples: str, run: Any) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary[0].lower() + summary[1:].rstrip("."),
        description=summary,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


# --------------------------------------------------------------------------------------------- networks


def _add_network(command: argparse.ArgumentParser, activation: str = "sigmoid") -> None:
    command.add_argument("network", nargs="+", metavar="SIZE | FILE.npz",
                         help="inputs, hidden layers, outputs; or a saved network")  # fmt: skip
    command.add_argument(
        "-a", "--activation", type=_names, default=[activation], metavar="NAME[,NAME…]",
        help=f"one for all layers or one for each: {', '.join(known_activations())} (default: {activation})",
    )  # fmt: skip
    command.add_argument(
        "-c", "--cost", type=_one_of("cost", costs.COSTS, costs.elsewhere()), metavar="COST",
        help=f"{', '.join(costs.COSTS)} (default: {costs.suiting('sigmoid').name} where the outputs are "
        f"probabilities, {' or '.join(costs.PROBABILISTIC)}, else {costs.suiting('linear').name})",
    )  # fmt: skip
    command.add_argument("--l2", type=_at_least_zero, default=0.0, metavar="λ",
                         help="the λ of the penalty λ/(2m) Σ w² (default: 0)")  # fmt: skip
    command.add_argument("--no-bias", action="store_true", help="neurons without biases")
    command.add_argument(
        "--init", default="xavier", metavar="NAME",
        help=f"how weights start: {', '.join(nn.INITIALISATIONS)} (default: xavier)",
    )  # fmt: skip
    command.add_argument("--seed", type=int, default=0, help="for weights and samples (default: 0)")


def _random_network(options: argparse.Namespace) -> nn.MLP:
    sizes = options.sizes
    if len(sizes) < 2:
        raise ValueError(f"a network needs two sizes or more, inputs first and outputs last; got {sizes}")
    activation = options.activation
    return nn.MLP(
        sizes[0],
        sizes[1:],
        activation[0] if len(activation) == 1 else activation,
        bias=not options.no_bias,
        init=options.init,
        seed=options.seed,
    )


def _cost_of(net: nn.MLP, options: argparse.Namespace) -> str:
    """The cost asked for, or the one that suits the output."""
    chosen: str | None = options.cost
    return chosen or costs.suiting(net.activations[-1]).name


def _random_samples(m: int, n: int, k: int, cost: str, seed: int) -> tuple[Array, Array]:
    """m random samples with targets that suit the cost."""
    import numpy as np

    rng = np.random.default_rng(seed)
    X = rng.normal(size=(m, n))
    return X, costs.COSTS[cost].random_targets(m, k, rng)


def _add_check(commands: Any) -> None:
    command = _command(
        commands,
        "check",
        "Compare the scalar graph's gradients with BP1-BP4 in matrices, equation by equation.",
        "  autobp check 3 2 1\n"
        "  autobp check 4 5 3 --activation tanh,sigmoid --cost quadratic --l2 0.5\n"
        "  autobp check 4 8 3 -a relu,linear -c softmax_cross_entropy --samples 20 --seed 7\n"
        "  autobp check out/network.npz\n\n"
        "The exit status is 0 only when every equation agrees.",
        _check,
    )
    _add_network(command)
    command.add_argument("-m", "--samples", type=_size, default=5, help="how many (default: 5)")


def _check(options: argparse.Namespace) -> int:
    net = _network(options)
    cost = _cost_of(net, options)
    X, Y = _random_samples(options.samples, net.sizes[0], net.sizes[-1], cost, options.seed)
    report = check.compare(net, X, Y, cost=cost, l2=options.l2)
    print(report)
    return 0 if report.ok else 1


def _add_draw(commands: Any) -> None:
    command = _command(
        commands,
        "draw",
        "Draw a network, or the computation graph of its cost on one sample, with data and gradients.",
        "  autobp draw 3 2 1 -o network.svg\n"
        "  autobp draw 2 2 1 --what graph -o graph.svg\n"
        "  autobp draw out/network.npz -o trained.pdf\n\n"
        "The picture's format is that of the file's ending: svg, png or pdf.",
        _draw,
    )
    _add_network(command)
    command.add_argument("-w", "--what", choices=["network", "graph"], default="network",
                         help="circles in layers, or every scalar operation (default: network)")  # fmt: skip
    command.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="where to write")


def _draw(options: argparse.Namespace) -> int:
    kind = _picture_format(options.output)
    net = _network(options)
    cost = _cost_of(net, options)
    X, Y = _random_samples(1, net.sizes[0], net.sizes[-1], cost, options.seed)
    trace, loss = _cost_on(net, cost, X[0], Y[0])
    picture = autobp.draw(net if options.what == "network" else loss, trace=trace)
    _write(options.output, picture.pipe(format=kind))
    print(f"wrote {options.output}, with data and gradients of the cost {cost} on one random sample")
    return 0


def _cost_on(net: nn.MLP, cost: str, x: Array, y: Array) -> tuple[nn.Trace, autobp.Value]:
    """The cost of one sample, targets and all with their names, after its backward pass."""
    trace = net.trace(x.tolist())
    targets = [autobp.Value(number, label=f"y[{k}]") for k, number in enumerate(y.tolist(), start=1)]
    loss = costs.named(cost)(trace.output, targets)
    loss.label = "J"
    loss.backward()
    return trace, loss


def _network(options: argparse.Namespace) -> nn.MLP:
    """The saved network that is named, or a random one of the sizes."""
    if len(options.network) == 1 and options.network[0].endswith(".npz"):
        return nn.MLP.load(options.network[0])
    wrong = [size for size in options.network if not size.isdecimal() or int(size) < 1]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is neither a SIZE, a whole number above 0, nor a FILE.npz alone")
    options.sizes = [int(size) for size in options.network]
    return _random_network(options)


def _add_explain(commands: Any) -> None:
    command = _command(
        commands,
        "explain",
        "Write out the chain rule for one derivative of a network's cost, in symbols and in numbers.",
        '  autobp explain 3 2 1 --wrt "W1[1,1]"\n'
        '  autobp explain 3 2 2 --wrt "b2[1]" --notation BP1-BP4\n'
        '  autobp explain 3 2 1 --wrt "x[2]" --activation tanh,sigmoid\n'
        '  autobp explain 2 2 2 1 --wrt "W1[2,1]" -m 3 --l2 0.1 --notation ML15 --latex\n'
        '  autobp explain out/network.npz --wrt "W1[1,1]"',
        _explain,
    )
    command.add_argument("--wrt", default="W1[1,1]", metavar="LABEL",
                         help='by what: a parameter, "W1[2,3]", from input 3 to neuron 2, or "b1[2]"; of one '
        'sample also "x[3]", "z1[2]" or "a1[2]" (default: W1[1,1])')  # fmt: skip
    command.add_argument("--notation", default="autobp", metavar="NAME",
                         help=f"{', '.join(NOTATIONS)} (default: autobp)")  # fmt: skip
    command.add_argument("--latex", action="store_true", help="LaTeX for amsmath, MathJax or KaTeX")
    command.add_argument("--digits", type=_size, default=4, help="significant digits (default: 4)")
    _add_network(command)
    command.add_argument("-m", "--samples", type=_size, default=1, help="how many (default: 1)")


def _explain(options: argparse.Namespace) -> int:
    net = _network(options)
    cost = _cost_of(net, options)
    X, Y = _random_samples(options.samples, net.sizes[0], net.sizes[-1], cost, options.seed)
    traces, targets = [net.trace(x) for x in X], Y.tolist()
    if len(traces) == 1:
        _label(traces[0])
    outputs = [trace.output for trace in traces]
    of = costs.named(cost)
    loss = of(outputs[0], targets[0]) if len(X) == 1 else of(outputs, targets)
    if options.l2:
        loss = loss + costs.l2(net, options.l2, len(X))
    samples = "one random sample" if len(X) == 1 else f"{len(X)} random samples"
    if not options.latex:
        print(f"Cost {cost} on {samples}, seed {options.seed}\n")
    explained = autobp.explain(loss, wrt=options.wrt, notation=options.notation, digits=options.digits)
    print(explained.latex if options.latex else explained.text)
    return 0


def _label(trace: nn.Trace) -> None:
    """Names to ask for a sample's inputs, z and activations by."""
    for letter, layers in (("a", trace.a), ("z", trace.z)):  # z last: of a linear layer they are the same
        for layer, values in enumerate(layers):
            for j, value in enumerate(values, start=1):
                value.label = f"x[{j}]" if layer == 0 else f"{letter}{layer}[{j}]"


def _add_train(commands: Any) -> None:
    command = _command(
        commands,
        "train",
        "Train a network on real data, check its gradients on real samples, and picture what it did.",
        "  autobp train digits\n"
        "  autobp train moons --hidden 16 16 --activation relu --epochs 60\n"
        "  autobp train flowers.csv --target species --drop id --hidden 8 --l2 0.1 --out results\n\n"
        "It writes network.npz, learning_curve.svg (with the gradient's norm in each layer), network.svg,\n"
        "graph.svg and, for classes, decision_boundary.svg where there are two inputs and\n"
        "confusion_matrix.svg where there are three classes or more, into the folder given by --out,\n"
        "replacing files of these names. Ctrl-C ends the training and keeps what was learned.",
        _train,
    )
    command.add_argument("data", metavar="NAME | FILE.csv", help="a data set, or a file with a line a sample")
    file = command.add_argument_group("for files", "Columns go by their names, or by numbers from 1.")
    file.add_argument("--target", metavar="COLUMN", help="what to predict (default: the last one)")
    file.add_argument("--drop", nargs="+", action="extend", default=[], metavar="COLUMN",
                      help="what to leave out")  # fmt: skip
    file.add_argument(
        "--header", action=argparse.BooleanOptionalAction,
        help="whether line 1 has the columns' names (default: if no cell is a number)",
    )  # fmt: skip
    file.add_argument("--task", choices=["classification", "regression"],
                      help="(default: as the target's values suggest)")  # fmt: skip
    command.add_argument("--test-size", type=float, default=0.25, help="the part to hold out (default: 0.25)")
    command.add_argument("--hidden", type=_size, nargs="*", default=[32], metavar="SIZE",
                         help="sizes of the hidden layers (default: 32)")  # fmt: skip
    command.add_argument(
        "-a", "--activation", default="tanh", metavar="NAME",
        help="of the hidden layers, as for check; the output is linear (default: tanh)",
    )  # fmt: skip
    command.add_argument("--epochs", type=_size, default=30, help="(default: 30)")
    command.add_argument("--batch-size", type=_size, default=32, help="(default: 32)")
    command.add_argument(
        "--optimizer", type=_one_of("optimizer", optim.OPTIMIZERS), default="adam", metavar="NAME",
        help=f"{' or '.join(optim.OPTIMIZERS)} (default: adam)",
    )  # fmt: skip
    command.add_argument("--lr", type=_above_zero, default=0.01, help="the learning rate (default: 0.01)")
    command.add_argument("--l2", type=_at_least_zero, default=0.1, metavar="λ",
                         help="the λ of the penalty λ/(2m) Σ w² (default: 0.1)")  # fmt: skip
    command.add_argument("--seed", type=int, default=0, help="for split, weights and order (default: 0)")
    command.add_argument("--check", type=int, default=8, metavar="M", dest="n_checked",
                         help="on how many samples to check the gradients (default: 8; 0: none)")  # fmt: skip
    command.add_argument("--eager", action="store_true",
                         help="build and walk every sample's graph instead of compiling it")  # fmt: skip
    command.add_argument("--out", type=Path, default=Path("out"), metavar="FOLDER", help="(default: out)")
    command.add_argument("--quiet", action="store_true", help="no progress bar")


def _train(options: argparse.Namespace) -> int:
    from autobp import datasets, plots

    data = datasets.load(
        options.data, test_size=options.test_size, seed=options.seed, target=options.target,
        drop=options.drop, header=options.header, task=options.task,
    )  # fmt: skip
    net = nn.MLP(
        data.X.shape[1],
        [*options.hidden, data.Y.shape[1]],
        [*[options.activation] * len(options.hidden), "linear"],
        init="xavier",
        seed=options.seed,
    )
    options.out.mkdir(parents=True, exist_ok=True)
    print(data)
    print(f"network {'-'.join(map(str, net.sizes))}, {len(net.parameters())} parameters, cost {data.cost}")
    frames = plots.Snapshots(net) if data.classes and data.X.shape[1] == 2 else None
    history = _fit(net, data, options, frames)
    _judge(net, data)
    net.save(options.out / "network.npz")
    _picture(net, data, history, frames, options.out)
    written = sorted(path.name for path in options.out.iterdir())
    print(f"wrote {', '.join(written)} into {options.out}/")
    if not options.n_checked:
        return 0
    n = options.n_checked
    report = check.compare(net, data.X[:n], data.Y[:n], cost=data.cost, l2=options.l2)
    print()
    print(report)
    return 0 if report else 1


def _fit(
    net: nn.MLP, data: Dataset, options: argparse.Namespace, frames: Snapshots | None
) -> autobp.History:
    """Train, and say what became of the cost."""
    started = time.perf_counter()
    history = autobp.fit(
        net, data.X, data.Y, cost=data.cost, epochs=options.epochs, batch_size=options.batch_size,
        optimizer=options.optimizer, lr=options.lr, l2=options.l2, seed=options.seed,
        validation=(data.X_test, data.Y_test) if len(data.X_test) else None,
        progress=not options.quiet, compiled=not options.eager, on_epoch=frames,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    if history.interrupted:
        print(f"interrupted after {len(history.cost)} epochs; the network keeps what it had learned")
    if history.cost:
        print(f"cost {history.cost[0]:.4g} after the first epoch, {history.cost[-1]:.4g} after the last, "
              f"in {seconds:.1f} s")  # fmt: skip
    return history


def _judge(net: nn.MLP, data: Dataset) -> None:
    """Say how good the network is, on the samples held out where there are some."""
    held_out = len(data.X_test) > 0
    if data.classes and held_out:
        right = autobp.accuracy(net, data.X_test, data.Y_test, threshold=_threshold(data))
        print(f"held-out accuracy {100 * right:.1f} %")
    if not data.classes:
        where, samples = (
            ("held-out", (data.X_test, data.Y_test)) if held_out else ("on these samples", (data.X, data.Y))
        )
        error = autobp.rmse(net, *samples) * data.target_scale
        print(f"{where} R² {autobp.r_squared(net, *samples):.3f}, RMSE {error:.4g} in units of {data.target}")


def _picture(
    net: nn.MLP, data: Dataset, history: autobp.History, frames: Snapshots | None, folder: Path
) -> None:
    """Write the pictures of a training into the folder."""
    from autobp import plots

    if history.cost:
        plots.learning_curve(history, gradients=True).savefig(folder / "learning_curve.svg")
    if frames is not None:
        boundary = plots.decision_boundary(
            frames, data.X, data.Y, threshold=_threshold(data), classes=data.classes, names=data.names
        )
        boundary.savefig(folder / "decision_boundary.svg")
    if len(data.classes) > 2 and len(data.X_test):
        images = None if data.image_shape is None else data.images(data.X_test)
        confusion = plots.confusion_matrix(
            net, data.X_test, data.Y_test, classes=data.classes, images=images
        )
        confusion.savefig(folder / "confusion_matrix.svg")
    trace, loss = _cost_on(net, data.cost, data.X[0], data.Y[0])
    drawing = autobp.draw(net, trace=trace, names=data.names, classes=data.classes)
    _write(folder / "network.svg", drawing.pipe(format="svg"))
    _write(folder / "graph.svg", autobp.draw(loss, trace=trace, direction="TB").pipe(format="svg"))


def _threshold(data: Dataset) -> float | None:
    """The output above which the network's answer is the second of two classes; None for more than two."""
    return costs.COSTS[data.cost].threshold


# ------------------------------------------------------------------------------------ arguments and files


def _one_of(
    what: str, known: Iterable[str], elsewhere: Mapping[str, str] | None = None
) -> Callable[[str], str]:
    """A type of arguments that says which name is meant, as ``choices`` do not."""

    def name(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(unknown(what, text, known, elsewhere or {}))
        return text

    return name


def _names(text: str) -> list[str]:
    return text.split(",")


def _size(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _above_zero(text: str) -> float:
    number = _number(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0")
    return number


def _at_least_zero(text: str) -> float:
    number = _number(text)
    if not number >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not 0 or more")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def _picture_format(path: Path) -> str:
    kind = path.suffix.lstrip(".").lower()
    if kind not in ("svg", "png", "pdf"):
        raise ValueError(f"the output must end in .svg, .png or .pdf; got {path}")
    return kind


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


if __name__ == "__main__":
    sys.exit(main())
