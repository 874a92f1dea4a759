"""Every command's every argument with what it does not take: one line and status 2, never a traceback."""

import argparse
import re

import numpy as np
import pytest

import autobp
from autobp import MLP
from autobp.command import main
from autobp.command.entry import known_commands
from autobp.command.parser import parser_of
from autobp.testing import assert_backprop

#: Texts that most arguments cannot be; where one of them can, the command must do its work.
BAD = [
    "", " ", "-1", "0", "1.5", "nan", "inf", "-inf", "1e400", "abc", "1,2", "[1]", "٣", "½", "None",
    "W1[9,9]", "no/such/folder/file", "no_such_file.npz", "file.xyz", ".", "..", "a\0b", "\udcff", "💥",
    "x" * 300,
]  # fmt: skip
#: Whole numbers that are too large, but for how long a training lasts.
HUGE = "99999999999999999999"
LONG = {"epochs", "patience", "seed"}

#: Each command with what it needs, in a folder that has the files.
VALID = {
    "cache": [],
    "check": ["2", "1"],
    "completion": ["bash"],
    "draw": ["2", "1", "-o", "out.svg"],
    "explain": ["2", "1"],
    "export": ["net.npz", "-o", "net.c"],
    "grade": ["--show", "backprop"],
    "page": ["2", "1", "-o", "out.html"],
    "predict": ["net.npz", "rows.csv"],
    "train": ["data.csv", "--epochs", "1", "--hidden", "2", "--check", "1", "--quiet"],
}


def actions():
    """(command, argument) for every argument of every command, as the parser itself has them."""
    commands = known_commands()
    (chosen,) = [a for a in parser_of(commands)._actions if isinstance(a, argparse._SubParsersAction)]
    return [
        (name, action)
        for name, parser in chosen.choices.items()
        for action in parser._actions
        if action.dest != "help"
    ]


@pytest.fixture
def folder(tmp_path, monkeypatch, own_cache):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = [f"{a:.2f},{b:.2f},{'yes' if a > b else 'no'}" for a, b in rng.random((12, 2))]
    (tmp_path / "data.csv").write_text("\n".join(["a,b,kind", *rows]) + "\n")
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    net = MLP(2, [1], seed=0)
    net.about = autobp.datasets.load(tmp_path / "data.csv").about()
    net.save(tmp_path / "net.npz")
    # what takes time: the pictures after a training, which tests/test_command.py looks at
    for name in ("picture_training", "picture_network"):
        monkeypatch.setattr(f"autobp.command.commands.train.{name}", lambda *_: None)
    return tmp_path


def ended(arguments, capsys):
    """The exit status and the lines on standard error; an exception that gets through fails the test."""
    try:
        status = main(arguments)
    except SystemExit as end:
        status = end.code
    return status, capsys.readouterr().err.splitlines()


def test_the_walk_knows_every_command():
    assert set(VALID) == set(known_commands())
    assert len(actions()) > 60


def test_what_is_valid_is_done(folder, capsys):
    for name, arguments in VALID.items():
        status, said = ended([name, *arguments], capsys)
        assert status == 0, (name, said)


@pytest.mark.parametrize(
    ("name", "action"),
    actions(),
    ids=[f"{name} {'/'.join(action.option_strings) or action.dest}" for name, action in actions()],
)
def test_what_an_argument_does_not_take_is_told_in_one_line(name, action, folder, capsys):
    values = [*BAD] if action.dest in LONG else [*BAD, HUGE]
    for value in values:
        if not action.option_strings:
            tries = [[name, value, *VALID[name][1:]], [name, *VALID[name][:1], value, *VALID[name][2:]]]
        elif action.nargs == 0:
            tries = [[name, *VALID[name], f"{action.option_strings[-1]}={value}"]]
        else:
            tries = [[name, *VALID[name], text, value] for text in action.option_strings]
            tries.append([name, *VALID[name], f"{action.option_strings[-1]}={value}"])
        for arguments in tries:
            status, said = ended(arguments, capsys)
            assert status in (0, 1, 2), arguments
            assert not any("Traceback" in line for line in said), arguments
            if status == 2:
                assert len(said) == 1, (arguments, said)
                assert said[0].startswith("autobp"), arguments
                assert len(said[0].split(": ", 1)[1]) > 8, arguments
            if status == 1:  # trained, or checked, and found wanting; it says what
                assert said or name == "check", arguments


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", HUGE, "1"], f"SIZE: {HUGE} is too large: at most 1,000,000"),
        (["draw", "3000", "3000", "-o", "x.svg"], "a network 3000-3000 has 9,000,000 weights, too many"),
        (["train", "data.csv", "--hidden", "3000", "3000"], "a network 2-3000-3000-1 has 9,009,000 weights"),
        (["check", "2", "1", "-m", "9" * 5000], "is too large: at most 1,000,000"),
        (["check", "2", "1", "-m", "٠"], "'٠' is not a whole number above 0"),
    ],
)
def test_what_would_take_days_is_refused(arguments, words, folder, capsys):
    status, (said,) = ended(arguments, capsys)
    assert status == 2
    assert words in said


@pytest.mark.parametrize(
    "takes",
    [
        lambda seed: MLP(2, [1], seed=seed),
        lambda seed: autobp.datasets.load("xor", seed=seed),
        lambda seed: autobp.fit(MLP(1, [1]), [[1.0]], [[1.0]], seed=seed, progress=False, epochs=1),
        lambda seed: assert_backprop(lambda *_, **__: None, seed=seed),
    ],
)
def test_a_seed_is_a_whole_number_from_0_wherever_one_is_taken(takes):
    for seed, error in [(-1, ValueError), (1.5, TypeError), ("1", TypeError), (b"1", TypeError)]:
        with pytest.raises(error, match=f"^seed must be a whole number from 0; got {re.escape(repr(seed))}$"):
            takes(seed)


def test_a_seed_of_numpys_gives_the_numbers_of_pythons():
    for one, other in [(3, np.int64(3)), (0, np.uint8(0)), (10**30, 10**30)]:
        assert str(MLP(2, [1], seed=one).W) == str(MLP(2, [1], seed=other).W)
        sets = [autobp.datasets.load("xor", seed=seed) for seed in (one, other)]
        assert sets[0].X.tolist() == sets[1].X.tolist()
        assert type(sets[1].seed) is int
        nets = [MLP(2, [1], seed=0) for _ in range(2)]
        for net, data, seed in zip(nets, sets, (one, other), strict=True):
            autobp.fit(net, data.X, data.Y, cost=data.cost, epochs=2, seed=seed, progress=False)
        assert str(nets[0].W) == str(nets[1].W)


@pytest.mark.parametrize("name", sorted(VALID))
def test_what_is_missing_or_not_known_is_told_in_one_line(name, folder, capsys):
    for arguments in [[name, "--no-such-option"], [name, "--", "--"], [name, *VALID[name], "extra", "more"]]:
        status, said = ended(arguments, capsys)
        assert status in (0, 2), arguments
        assert len(said) == (status == 2), (arguments, said)
    for _, action in [pair for pair in actions() if pair[0] == name]:
        if action.option_strings and action.nargs != 0 and action.nargs not in ("*", "?"):
            status, said = ended([name, *VALID[name], action.option_strings[-1]], capsys)
            assert status == 2
            assert len(said) == 1, said
