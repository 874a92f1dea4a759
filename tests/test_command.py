"""The autobp command, run as a user runs it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import autobp
from autobp.__main__ import main
from autobp.command import commands

ROOT = Path(__file__).parent.parent


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "autobp", *arguments], capture_output=True, text=True, cwd=ROOT, **options
    )


@pytest.mark.parametrize("command", [(), ("check",), ("draw",), ("train",)])
def test_help_helps(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert "examples:" in shown if command else "COMMAND" in shown
    assert "usage: autobp" in shown


def test_check_prints_the_table_and_ends_with_zero_where_all_agree():
    done = run("check", "3", "2", "1", "--l2", "0.5", "--seed", "4")
    assert done.returncode == 0, done.stderr
    for word in ("BP1", "BP2", "BP3", "BP4", "delta2", "dW1", "All 11 agree"):
        assert word in done.stdout


@pytest.mark.parametrize("cost", autobp.costs.COSTS)
def test_check_takes_every_cost(cost, capsys):
    activation = {"hinge": "tanh", "binary_cross_entropy": "sigmoid"}.get(cost, "linear")
    assert main(["check", "3", "4", "3", "-c", cost, "-a", f"relu,{activation}", "--no-bias", "-m", "3"]) == 0
    assert "BP3" not in capsys.readouterr().out


def test_check_ends_with_one_where_something_differs(monkeypatch, capsys):
    monkeypatch.setattr(autobp.ops.TABLE["sigmoid"], "partials", lambda xp, y, x: (y,))
    assert main(["check", "3", "2", "1"]) == 1
    assert "DIFFERS" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "3", "x"], ["SIZE", "'x'"]),
        (["check", "3", "0"], ["SIZE", "'0'"]),
        (["check", "3"], ["two sizes"]),
        (["check", "3", "2", "-a", "sigmod"], ["'sigmod'", "sigmoid"]),
        (["check", "3", "2", "-a", "relu,tanh"], ["1 layers", "got 2"]),
        (["check", "3", "2", "-c", "cross"], ["'cross'", "quadratic"]),
        (["check", "3", "2", "-c", "mse"], ["did you mean 'quadratic'"]),
        (["check", "missing.npz"], ["missing.npz"]),
        (["train", "moons", "--optimizer", "sdg"], ["did you mean 'sgd'?"]),
        (["train", "moons", "--drop", "x1"], ["moons is not a file", "drop"]),
        (["check", "3", "2", "--l2", "-1"], ["--l2", "-1"]),
        (["chek"], ["did you mean 'check'?"]),
        (["check", "3", "2", "--sed", "1"], ["did you mean '--seed'?"]),
        (["check", "3", "2", "-q"], ["unknown argument '-q'"]),
        ([], ["COMMAND"]),
        (["draw", "2", "1"], ["-o"]),
        (["draw", "2", "1", "-o", "x.gif"], [".svg", "x.gif"]),
        (["draw", "2", "y", "-o", "x.svg"], ["'y'"]),
        (["draw", "missing.npz", "-o", "x.svg"], ["missing.npz"]),
        (["train", "no-such-set"], ["no-such-set"]),
        (["train", "moons", "--lr", "0"], ["--lr", "'0'"]),
        (["train", "moons", "--epochs", "1.5"], ["--epochs", "'1.5'"]),
    ],
)
def test_bad_arguments_get_one_clear_line_and_status_two(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        status = main(arguments)
    except SystemExit as stopped:
        status = stopped.code
    shown = capsys.readouterr().err
    assert status == 2
    assert len(shown.strip().splitlines()) == 1
    for word in words:
        assert word in shown
    assert list(tmp_path.iterdir()) == []


def test_a_new_command_is_one_file(tmp_path, monkeypatch, capsys):
    (tmp_path / "greet.py").write_text(
        "from autobp.command.parser import Command\n"
        "def run(options):\n"
        "    print('hello', options.name)\n"
        "    return 0\n"
        "COMMAND = Command('Greet somebody.', '  autobp greet you', lambda c: c.add_argument('name'), run)\n"
    )
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])
    try:
        assert main(["greet", "you"]) == 0
        assert capsys.readouterr().out == "hello you\n"
        with pytest.raises(SystemExit):
            main(["--help"])
        assert "greet somebody" in capsys.readouterr().out
        with pytest.raises(SystemExit):
            main(["gret"])
        assert "did you mean 'greet'?" in capsys.readouterr().err
    finally:
        sys.modules.pop(f"{commands.__name__}.greet")


@pytest.mark.parametrize("what", ["network", "graph"])
def test_draw_writes_a_picture(what, tmp_path, capsys):
    path = tmp_path / "new" / "picture.svg"
    assert main(["draw", "2", "2", "1", "--what", what, "-o", str(path)]) == 0
    assert path.read_text(encoding="utf-8").count("<svg") == 1
    assert f"wrote {path}" in capsys.readouterr().out


def test_train_learns_checks_and_writes(tmp_path, capsys):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    arguments = ["train", "moons", "--hidden", "8", "--epochs", "30", "--lr", "0.05", "--quiet"]
    assert main([*arguments, "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    accuracy = float(shown.split("held-out accuracy ")[1].split(" %")[0])
    assert accuracy > 85
    assert "All 11 agree" in shown
    assert sorted(p.name for p in out.iterdir()) == [
        "decision_boundary.svg", "graph.svg", "learning_curve.svg", "network.npz", "network.svg"
    ]  # fmt: skip
    assert autobp.MLP.load(out / "network.npz").sizes == [2, 8, 1]
    assert main(["draw", str(out / "network.npz"), "-o", str(tmp_path / "trained.png")]) == 0


def test_train_takes_a_csv_file(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 2))
    lines = [f"{a:.4f},{b:.4f},{'yes' if a > b else 'no'}" for a, b in rows]
    path = tmp_path / "data.csv"
    path.write_text("\n".join(["first,second,larger", *lines]) + "\n", encoding="utf-8")
    out = tmp_path / "out"
    arguments = ["train", str(path), "--target", "larger", "--hidden", "--epochs", "40", "--quiet"]
    assert main([*arguments, "--out", str(out), "--eager"]) == 0
    shown = capsys.readouterr().out
    assert "network 2-1" in shown
    drawn = (out / "network.svg").read_text(encoding="utf-8")
    for name in ("first", "second", "large: yes", "small: no"):
        assert f">{name}</text>" in drawn
    assert ">y[1]</text>" in (out / "graph.svg").read_text(encoding="utf-8")
    assert float(shown.split("held-out accuracy ")[1].split(" %")[0]) > 80


def test_check_takes_a_saved_network(tmp_path, capsys):
    autobp.MLP(3, [4, 2], ["tanh", "softmax"], seed=5).save(tmp_path / "saved")
    assert main(["check", str(tmp_path / "saved.npz")]) == 0
    assert "network 3-4-2" in capsys.readouterr().out


def test_train_on_quantities_says_how_far_off_it_is_in_their_units(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(0)
    lines = [f"s{i},{a:.4f},{1000 * a + 500 + rng.normal():.4f}" for i, a in enumerate(rng.normal(size=80))]
    path = tmp_path / "prices.csv"
    path.write_text("\n".join(["name,size,price", *lines]) + "\n", encoding="utf-8")
    arguments = ["train", str(path), "--drop", "name", "--hidden", "--epochs", "60", "--quiet", "--l2", "0"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    error = float(shown.split("RMSE ")[1].split(" in units of price")[0])
    explained = float(shown.split("R² ")[1].split(",")[0])
    assert 0.5 < error < 100
    assert explained == pytest.approx(1 - (error / 1000) ** 2, abs=0.02)
