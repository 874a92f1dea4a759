"""The autobp command, run as a user runs it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

import autobp
from autobp.__main__ import main
from autobp.command import commands
from autobp.command.entry import known_commands
from autobp.drawing.style import THEMES

ROOT = Path(__file__).parent.parent


def environment(**more):
    """The variables of a process that imports this copy of autobp, compiled where it is."""
    return {**os.environ, "PYTHONPATH": str(Path(autobp.__file__).parents[1]), **more}


def run(*arguments, **options):
    """The command, run where no source lies beside it."""
    return subprocess.run(
        [sys.executable, "-m", "autobp", *arguments], capture_output=True, text=True,
        cwd=tempfile.gettempdir(), env=environment(), **options,
    )  # fmt: skip


@pytest.mark.parametrize("command", [(), *[(name,) for name in known_commands()]])
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
        (["check", "3", "2", "--seed", "-1"], ["--seed", "'-1' is not a whole number from 0"]),
        (["explain", "3", "2", "--wrt", "W1[1;1]"], ["did you mean 'W1[1,1]'"]),
        (["explain", "3", "2", "-o", "it.doc"], [".tex, .pdf or .txt; got 'it.doc'"]),
        (["explain", "3", "2", "--notation", "Brower"], ["did you mean 'Brawer'"]),
        (["draw", "2", "1", "-o", "x.svg", "--theme", "drak"], ["did you mean 'dark'"]),
        (["draw", "2", "1", "-o", "x.svg", "--highlight", "W1[1,1]"], ["say --what graph"]),
        (["draw", "2", "1", "-o", "x.svg", "-w", "graph", "--highlight", "W1[1.1]"], ["mean 'W1[1,1]'"]),
        (["page", "2", "1", "-o", "x.htlm"], [".html", "x.htlm"]),
        (["page", "2", "1"], ["-o"]),
        (["completion", "bahs"], ["did you mean 'bash'"]),
        (["predict", "missing.npz", "new.csv"], ["missing.npz"]),
        (["predict", "missing.npz"], ["FILE.csv"]),
        (["train", "moons", "--seed", "-1"], ["--seed", "'-1'"]),
        (["train", "moons", "--check", "-1"], ["--check", "'-1' is not a whole number from 0"]),
        (["train", "moons", "--lr", "inf"], ["--lr", "'inf' is not finite"]),
        (["train", "moons", "--lr", "fast"], ["--lr", "'fast' is not a number"]),
        (["train", "moons", "--test-size", "1"], ["--test-size", "'1'", "below 1"]),
        (["train", "moons", "--patience", "x"], ["--patience", "'x'"]),
        (["train", "moons", "--schedule", "cosin"], ["did you mean 'cosine'"]),
        (["train", "moons", "--optimizer", "rms"], ["'rmsprop'"]),
        (["train", "moons", "-a", "rleu"], ["did you mean 'relu'"]),
        (["train", "moons", "--hidden", "0"], ["--hidden", "'0'"]),
        (["train", "moon"], ["did you mean 'moons'"]),
        (["train", "moons", "--out", "/dev/null/x"], ["/dev/null/x"]),
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
        "confusion_matrix.svg", "decision_boundary.svg", "graph.svg", "learning_curve.svg", "network.npz",
        "network.svg",
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


def test_several_targets_are_trained_and_answered_each_by_its_name(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(0)
    lines = [f"{a:.4f},{1000 * a + 500:.4f},{3 - a:.4f}" for a in rng.normal(size=60)]
    path = tmp_path / "rooms.csv"
    path.write_text("\n".join(['a,"heat, cold",cool', *lines]) + "\n", encoding="utf-8")
    chosen = {"commas": ["--target", 'cool,"heat, cold"'], "twice": ["--target=cool", "--target", "2"]}
    for options in chosen.values():
        arguments = ["train", str(path), *options, "--hidden", "--epochs", "80", "--quiet", "--l2", "0"]
        assert main([*arguments, "--lr", "0.05", "--out", str(tmp_path / "out")]) == 0
        shown = capsys.readouterr().out
        # a name with a comma of its own cannot be told from two
        assert "in units of cool, heat, cold 1\n" in shown
        assert "in units of cool, heat, cold 2\n" in shown
    path.write_text(path.read_text(encoding="utf-8").replace('"heat, cold"', "heat"), encoding="utf-8")
    arguments = ["train", str(path), "--target=cool,heat", "--hidden", "--epochs", "80", "--quiet", "--l2=0"]
    assert main([*arguments, "--lr", "0.05", "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    for name in ("cool", "heat"):
        line = next(line for line in shown.splitlines() if line.endswith(f"in units of {name}"))
        assert float(line.split("R² ")[1].split(",")[0]) > 0.99
    picture = (tmp_path / "out" / "predictions.svg").read_text(encoding="utf-8")
    assert "cool, measured" in picture
    assert "heat, measured" in picture
    network = str(tmp_path / "out" / "network.npz")
    new = tmp_path / "new.csv"
    new.write_text("a\n1.0\n-0.5\n", encoding="utf-8")
    assert main(["predict", network, str(new)]) == 0
    head, *answers = capsys.readouterr().out.splitlines()
    assert head == "cool,heat"
    told = np.array([[float(cell) for cell in line.split(",")] for line in answers])
    np.testing.assert_allclose(told[:, 0], [2.0, 3.5], atol=0.02)
    np.testing.assert_allclose(told[:, 1], [1500.0, 0.0], atol=20)
    assert main(["export", network, "-o", str(tmp_path / "it.c")]) == 0
    drawn = str(tmp_path / "n.svg")
    for command in (["explain", network], ["check", network], ["draw", network, "-o", drawn]):
        assert main(command) == 0
    assert main(["train", str(path), "--target", "cool,haet"]) == 2
    assert "did you mean 'heat'?" in capsys.readouterr().err


# --------------------------------------------------------------------------------- new rows, pages, shells


def trained(tmp_path, target="larger"):
    """A network that the command has trained on a CSV file, and its rows with the larger one's name."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(80, 2)) * 50 + 1000
    names = ["first" if a > b else "second" for a, b in rows]
    lines = [f"{a},{b},{name}" for (a, b), name in zip(rows.tolist(), names, strict=True)]
    path = tmp_path / "data.csv"
    path.write_text("\n".join([f"first,second,{target}", *lines]) + "\n", encoding="utf-8")
    arguments = ["train", str(path), "--hidden", "--epochs", "60", "--lr", "0.1", "--quiet", "--check", "0"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    return tmp_path / "out" / "network.npz", rows, names


def test_predict_answers_raw_rows_by_the_columns_names(tmp_path, capsys):
    network, rows, names = trained(tmp_path)
    capsys.readouterr()
    new = tmp_path / "new.csv"
    lines = [f"{b},x,{a}" for a, b in rows.tolist()]
    new.write_text("\n".join(["second,comment,first", *lines]) + "\n", encoding="utf-8")
    assert main(["predict", str(network), str(new)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "larger"
    assert np.mean(np.array(told[1:]) == np.array(names)) > 0.95
    new.write_text("\n".join(f"{a},{b}" for a, b in rows.tolist()), encoding="utf-8")
    assert main(["predict", str(network), str(new), "-o", str(tmp_path / "answers.csv")]) == 0
    assert (tmp_path / "answers.csv").read_text(encoding="utf-8").splitlines() == told


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["first,secnd", "1,2"], "there is no column 'second'; did you mean 'secnd'?"),
        (["1,2,3"], "line 1: 3 cells, but the columns are first, second"),
        (["first,second", "1,"], "line 2, column 2 (second): the cell is empty"),
        (["first,second", "1,inf"], "'inf' is not a finite number"),
        (["first,second"], "no sample below"),
        (["first,second,second", "1,2,3"], "a second column called 'second'"),
    ],
)
def test_predict_names_what_is_wrong_with_the_rows(tmp_path, capsys, lines, words):
    network, *_ = trained(tmp_path)
    new = tmp_path / "new.csv"
    new.write_text("\n".join(lines) + "\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["predict", str(network), str(new)]) == 2
    assert words in capsys.readouterr().err


def test_a_saved_network_brings_its_cost_names_and_classes(tmp_path, capsys):
    network, *_ = trained(tmp_path)
    picture, page = tmp_path / "picture.svg", tmp_path / "page.html"
    assert main(["draw", str(network), "-o", str(picture)]) == 0
    assert "cost binary_cross_entropy_with_logits" in capsys.readouterr().out
    drawn = picture.read_text(encoding="utf-8")
    for name in ("first", "second", "large: second"):
        assert f">{name}</text>" in drawn
    assert main(["page", str(network), "-o", str(page)]) == 0
    assert "large: second" in page.read_text(encoding="utf-8")
    assert main(["explain", str(network)]) == 0
    assert "binary_cross_entropy_with_logits" in capsys.readouterr().out
    assert main(["predict", str(tmp_path / "out" / "network.svg"), "x"]) == 2
    autobp.MLP(2, [1], "sigmoid", seed=0).save(tmp_path / "plain")
    assert main(["predict", str(tmp_path / "plain.npz"), "x"]) == 2
    assert "does not say what it was trained on" in capsys.readouterr().err


def test_draw_takes_a_theme_and_a_path_to_highlight(tmp_path):
    colour = THEMES["dark"].highlight
    plain, lit = tmp_path / "plain.svg", tmp_path / "lit.svg"
    arguments = ["draw", "2", "2", "1", "--what", "graph", "--theme", "dark", "-o"]
    assert main([*arguments, str(plain)]) == main([*arguments, str(lit), "--highlight", "W1[1,2]"]) == 0
    assert colour not in plain.read_text(encoding="utf-8")
    assert colour in lit.read_text(encoding="utf-8")


def completed(script, *words):
    """What bash offers after these words, the last one being written."""
    line = f"COMP_WORDS=({' '.join(map(repr, words))}); COMP_CWORD={len(words) - 1}; _autobp"
    code = f"{script}\n{line}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    return subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_bash_completes_commands_options_and_data_sets(capsys):
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert completed(script, "autobp", "tr") == ["train"]
    assert completed(script, "autobp", "train", "mo") == ["moons"]
    assert completed(script, "autobp", "train", "--pat") == ["--patience"]
    assert completed(script, "autobp", "check", "--pat") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shells_completion_names_the_options(shell, capsys):
    assert main(["completion", shell]) == 0
    shown = capsys.readouterr().out
    for word in ("train", "spirals", "patience", "highlight"):
        assert word in shown


# ------------------------------------------------------------------ a full disk, signals, streams, encodings


def slow_training(out, *more, **options):
    """A training that goes on for minutes, once it has begun."""
    arguments = ["train", "moons", "--epochs", "1000000", "--patience", "0", "--out", str(out), *more]
    process = subprocess.Popen(
        [sys.executable, "-m", "autobp", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd=tempfile.gettempdir(), env=environment(PYTHONUNBUFFERED="1"), **options,
    )  # fmt: skip
    assert "samples to train on" in process.stdout.readline()
    assert "network 2-" in process.stdout.readline()
    time.sleep(0.5)  # compiling, or in the first epochs: both must do
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
def test_sigterm_keeps_the_network(tmp_path):
    pytest.importorskip("sklearn")
    process = slow_training(tmp_path / "out")
    process.send_signal(signal.SIGTERM)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "ended by SIGTERM" in shown
    assert "Traceback" not in shown
    if "wrote network.npz" in shown:
        assert autobp.MLP.load(tmp_path / "out" / "network.npz").sizes == [2, 32, 32, 1]
    assert not [path.name for path in (tmp_path / "out").iterdir() if path.name != "network.npz"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limits on the size of files")
@pytest.mark.parametrize(("most", "kept"), [(5_000, False), (22_000, True)])
def test_a_full_disk_names_the_file_and_leaves_no_half_of_one(tmp_path, most, kept):
    """A limit on the size of files fails as a full disk does: in the middle of one."""
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    import resource

    out = tmp_path / "out"
    done = run(
        "train", "moons", "--epochs", "2", "--quiet", "--out", str(out),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    file = "learning_curve.svg" if kept else "network.npz"
    assert f"cannot write {out / file}: File too large" in done.stderr
    assert [path.name for path in out.iterdir()] == ["network.npz"] * kept
    if kept:
        assert f"wrote network.npz into {out}" in done.stdout
        autobp.MLP.load(out / "network.npz")


def test_a_folder_that_cannot_be_written_is_told_before_the_training(tmp_path, capsys):
    (tmp_path / "out").write_text("a file")
    assert main(["train", "xor", "--out", str(tmp_path / "out")]) == 2
    shown = capsys.readouterr()
    assert f"cannot write {tmp_path / 'out'}: it is a file" in shown.err
    assert shown.out == ""


def test_a_training_that_diverges_ends_with_one_and_keeps_the_best(tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["train", "xor", "--lr", "1e6", "--quiet", "--out", str(out)]) == 1
    shown = capsys.readouterr()
    assert "try a smaller learning rate than 1e+06" in shown.err
    assert autobp.MLP.load(out / "network.npz").about.source == "xor"


def test_only_what_was_written_is_said_to_be_written(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    out.mkdir()
    for name in ("predictions.svg", "notes.txt"):
        (out / name).touch()
    assert main(["train", "xor", "--epochs", "2", "--quiet", "--check", "0", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    (wrote,) = re.findall(r"^wrote (.*) into ", shown, re.M)
    assert set(wrote.split(", ")) == {path.name for path in out.iterdir()} - {"predictions.svg", "notes.txt"}
    assert "left from before, and of another network: predictions.svg\n" in shown


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["explain", "3", "2", "1", "--notation", "slides"], ["check", "2", "1", "--l2", "-λ"],
        ["train", "--help"], ["train", "xor", "--epochs", "1", "--check", "0"], ["λ"],
    ],
)  # fmt: skip
def test_every_encoding_is_printed_to(arguments, encoding, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "autobp", *arguments], capture_output=True, cwd=tmp_path,
        env=environment(PYTHONIOENCODING=encoding, PYTHONUTF8="0"),
    )  # fmt: skip
    shown = (done.stdout + done.stderr).decode(encoding)
    assert "Traceback" not in shown
    assert "codec" not in shown
    if arguments[0] == "explain":
        assert done.returncode == 0
        assert ("∂" if encoding == "utf-8" else "dC/d") in shown


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_standard_output_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "autobp", "check", "3", "2", "1"], stdout=full, stderr=subprocess.PIPE,
            text=True, cwd=tempfile.gettempdir(), env=environment(),
        )  # fmt: skip
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "No space left on device" in done.stderr


def test_without_graphviz_or_matplotlib_a_training_says_so_first_and_goes_on(tmp_path, capsys, monkeypatch):
    from autobp.drawing import picture

    monkeypatch.setattr(picture, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    out = tmp_path / "out"
    assert main(["train", "xor", "--epochs", "2", "--quiet", "--check", "0", "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert "there will be no graph.svg: nothing here can lay out a graph" in shown.err
    assert "without matplotlib" in shown.err
    assert sorted(path.name for path in out.iterdir()) == ["network.npz", "network.svg"]
    assert main(["draw", "2", "1", "--what", "graph", "-o", str(tmp_path / "graph.svg")]) == 2
    assert "install pygraphviz" in capsys.readouterr().err
    assert main(["draw", "2", "1", "-o", str(tmp_path / "network.svg")]) == 0


@pytest.mark.parametrize("interrupted", ["autobp", "numpy", "autobp.command.entry", "autobp.check"])
def test_ctrl_c_while_it_is_imported_is_one_line(interrupted):
    """The installed command begins in ``_autobp``; the interruption comes as a module is imported."""
    code = f"""
import sys
import _autobp
class Interruption:
    def find_spec(self, name, path=None, target=None):
        if name == {interrupted!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interruption())
sys.argv = ["autobp", "check", "3", "2", "1"]
sys.exit(_autobp.main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tempfile.gettempdir(),
        env=environment(),
    )  # fmt: skip
    assert done.returncode == 130
    assert done.stdout == ""
    assert done.stderr == "autobp: interrupted\n"


@pytest.mark.parametrize("interrupted", ["autobp.engine", "numpy", "autobp.command.entry", "autobp.check"])
@pytest.mark.parametrize("module", ["autobp", "others"])
def test_ctrl_c_while_python_looks_for_the_module_is_one_line(tmp_path, module, interrupted):
    """``python -m autobp`` imports the package before it runs any of it; other packages end as ever."""
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "__init__.py").write_text("import autobp.check", encoding="utf-8")
    (tmp_path / "others" / "__main__.py").write_text("import autobp.command", encoding="utf-8")
    (tmp_path / "sitecustomize.py").write_text(
        f"""
import sys
class Interruption:
    def find_spec(self, name, path=None, target=None):
        if name == {interrupted!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interruption())
""",
        encoding="utf-8",
    )
    places = environment()
    places["PYTHONPATH"] = os.pathsep.join([str(tmp_path), places.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", module, "check", "3", "2", "1"], capture_output=True, text=True, cwd=tmp_path,
        env=places,
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stdout == ""
    if module == "autobp":
        assert done.stderr == "autobp: interrupted\n"
    else:
        assert done.stderr.startswith("Traceback")


def test_the_installed_command_begins_there():
    assert "autobp = _autobp:main\n" in (ROOT / "setup.cfg").read_text(encoding="utf-8")
