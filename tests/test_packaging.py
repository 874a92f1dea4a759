"""What is installed: which build the suite runs on, documentation, types, and the packages pip makes.

The tests marked ``packaging`` build a wheel and a source distribution and install both as a user would, with
pip and its network; ask for them with ``-m packaging``.
"""

import ast
import importlib.util
import inspect
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import autobp
from autobp import build

ROOT = Path(__file__).parents[1]
COMPILED_MODULES = re.findall(r'"autobp/(\w+)\.py"', (ROOT / "setup.py").read_text(encoding="utf-8"))

C_COMPILER = shutil.which((os.environ.get("CC") or sysconfig.get_config_var("CC") or "cl").split()[0])


@pytest.mark.skipif("AUTOBP_EXPECT_COMPILED" not in os.environ, reason="AUTOBP_EXPECT_COMPILED is not set")
def test_the_suite_runs_on_the_build_that_it_is_meant_for():
    assert bool(autobp.__compiled__) is (os.environ["AUTOBP_EXPECT_COMPILED"] == "1")


def test_compiled_says_whether_the_modules_are_extension_modules():
    for name in COMPILED_MODULES:
        module = sys.modules[f"autobp.{name}"]
        assert module.__file__.endswith(".py") is not bool(autobp.__compiled__)


# ------------------------------------------------------------------------------------- why not compiled


def test_a_build_that_is_not_compiled_says_why(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "RECORD", tmp_path / "not_compiled.txt")
    assert "this is the source itself" in build.Build(False).reason
    (tmp_path / "engine.py").touch()
    assert "this is the source itself" in build.Build(False).reason
    (tmp_path / "engine.cpython-39-x86_64-linux-gnu.so").touch()
    assert "another interpreter than this one: engine.cpython-39" in build.Build(False).reason
    (tmp_path / "not_compiled.txt").write_text("no working C compiler: cc not found\n")
    found = build.Build(False)
    assert found.reason == "no working C compiler: cc not found"
    assert repr(found) == str(found) == "not compiled: no working C compiler: cc not found"
    assert not found
    assert build.Build(True)
    assert build.Build(True).reason == ""
    assert str(build.Build(True)) == "compiled by mypyc"


def test_compiled_and_its_reason_agree():
    assert isinstance(autobp.__compiled__, build.Build)
    assert bool(autobp.__compiled__) is (autobp.__compiled__.reason == "")


@pytest.fixture
def setup_script(monkeypatch):
    """setup.py as a module, in the folder it runs in, about to build."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["setup.py", "build"])
    monkeypatch.delenv("AUTOBP_COMPILE", raising=False)
    spec = importlib.util.spec_from_file_location("setup_script", ROOT / "setup.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "c_compiler_error", lambda: "")
    return script


def test_mypyc_is_pinned_to_the_releases_that_setup_py_knows(setup_script):
    requires = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.findall(r'"mypy ([^"]*)"', requires) == [f"== {setup_script.KNOWN_MYPYC}.*"]


def test_mypyc_reads_what_the_compiled_modules_import_and_not_the_whole_package(setup_script, tmp_path):
    pytest.importorskip("mypyc")
    from mypy.build import build as check
    from mypy.fscache import FileSystemCache
    from mypy.main import process_options

    configuration = tmp_path / "mypy.ini"
    configuration.write_text(setup_script.MYPY_CONFIGURATION)
    arguments = [f"--config-file={configuration}", f"--cache-dir={tmp_path}", *setup_script.MODULES]
    read = set(check(*process_options(arguments, fscache=FileSystemCache())).graph)
    assert {f"autobp.{name}" for name in COMPILED_MODULES} <= read
    assert not {"autobp", "autobp.compiler", "autobp.training", "numpy"} & read


@pytest.mark.parametrize(
    ("obstacle", "reason"),
    [
        ("version", "this is mypyc 99.0.1, and setup.py knows the C code of "),
        ("refusal", "mypyc refused the source"),
        ("crash", "mypyc failed: KeyError: 'no such node'"),
        ("missing", "mypyc is not installed"),
        ("interpreter", "mypyc compiles for CPython, and this is pypy"),
        ("environment", "AUTOBP_COMPILE was 0"),
        ("compiler", "no working C compiler: cc"),
    ],
)
def test_whatever_keeps_mypyc_from_compiling_is_a_reason_and_no_crash(
    setup_script, monkeypatch, capsys, obstacle, reason
):
    pytest.importorskip("mypyc")
    import mypy.version
    import mypyc.build

    def crash(arguments, **options):
        raise KeyError("no such node")

    known = f"{setup_script.KNOWN_MYPYC}.0"
    monkeypatch.setattr(mypy.version, "__version__", "99.0.1" if obstacle == "version" else known)
    failing = crash if obstacle == "crash" else lambda *_, **__: sys.exit(1)
    monkeypatch.setattr(mypyc.build, "mypycify", failing)
    if obstacle == "missing":
        monkeypatch.setitem(sys.modules, "mypyc.build", None)
    if obstacle == "interpreter":
        monkeypatch.setattr(sys.implementation, "name", "pypy")
    if obstacle == "environment":
        monkeypatch.setenv("AUTOBP_COMPILE", "0")
    if obstacle == "compiler":
        monkeypatch.setattr(setup_script, "c_compiler_error", lambda: "no working C compiler: cc")
    modules, told = setup_script.extensions()
    assert modules == []
    assert told.startswith(reason)
    assert f"not compiled ({reason}" in capsys.readouterr().err
    if obstacle != "environment":
        monkeypatch.setenv("AUTOBP_COMPILE", "1")
        with pytest.raises(SystemExit, match="AUTOBP_COMPILE is 1, but nothing can be compiled"):
            setup_script.extensions()


def test_a_build_records_its_reason_for_those_who_import_it(tmp_path):
    source = copy_of_the_source(tmp_path)
    command = [sys.executable, "setup.py", "-q", "build", "--build-lib", tmp_path / "lib"]
    run(*command, cwd=source, AUTOBP_COMPILE="0")
    code = "import autobp; print(bool(autobp.__compiled__), autobp.__compiled__.reason)"
    said = run(sys.executable, "-c", code, cwd=tmp_path / "lib", PYTHONPATH="")
    assert said.strip() == "False AUTOBP_COMPILE was 0"


def source_of(name):
    return (ROOT / "autobp" / f"{name}.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", COMPILED_MODULES)
def test_help_shows_every_docstring(name):
    module = sys.modules[f"autobp.{name}"]
    tree = ast.parse(source_of(name))
    assert inspect.getdoc(module) == ast.get_docstring(tree)
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        found = getattr(module, node.name)
        if ast.get_docstring(node):
            assert inspect.cleandoc(found.__doc__) == ast.get_docstring(node)
        members = (
            [n for n in node.body if isinstance(n, ast.FunctionDef)] if isinstance(node, ast.ClassDef) else []
        )
        for member in members:
            # what fills a slot of the type, as __repr__ does, the interpreter describes in its own words
            if ast.get_docstring(member) and not member.name.startswith("__"):
                assert inspect.cleandoc(getattr(found, member.name).__doc__) == ast.get_docstring(member)


@pytest.mark.parametrize("name", COMPILED_MODULES)
def test_compiled_modules_set_data_by_set_data_alone(name):
    # mypyc calls the setter of data as if it took a C double: not an error but a wrong number in memory
    for node in ast.walk(ast.parse(source_of(name))):
        targets = node.targets if isinstance(node, ast.Assign) else []
        assert not [t for t in targets if isinstance(t, ast.Attribute) and t.attr == "data"], node.lineno


def test_type_checkers_find_the_type_hints():
    assert (Path(autobp.__file__).parent / "py.typed").exists()


def test_importing_loads_nothing_that_only_some_will_use():
    heavy = ["graphviz", "pygraphviz", "matplotlib", "scipy", "sklearn", "sympy", "torch", "jax", "tqdm"]
    code = f"import sys, autobp; print([m for m in {heavy!r} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"


# ------------------------------------------------------------------------------------- as pip installs it

CHECK = """
import pickle, autobp
from autobp import MLP, Value
x = Value(3.0)
y = pickle.loads(pickle.dumps(x * x + x.tanh()))
y.backward()
loss = MLP(2, [3, 1], seed=1)([0.5, -1.0])
loss.backward()
print(bool(autobp.__compiled__), autobp.engine.__file__, autobp.__compiled__.reason, sep="\\n")
"""


def fresh_environment(folder):
    venv.create(folder, with_pip=True)
    return str(next(folder.glob("[bS][ic][nr]*/python*")))


def copy_of_the_source(folder):
    ignore = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "out")
    return Path(shutil.copytree(ROOT, folder / "source", ignore=ignore))


def run(*command, cwd, **environment):
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def installed(distribution, tmp_path, *options, **environment):
    """Whether the core is compiled, where it lies, and why not, in a fresh environment."""
    python = fresh_environment(tmp_path / "environment")
    run(python, "-m", "pip", "install", "-q", *options, distribution, cwd=tmp_path, **environment)
    compiled, file, reason = run(python, "-c", CHECK, cwd=tmp_path).splitlines()
    run(python, "-m", "pip", "check", cwd=tmp_path)
    return compiled == "True", Path(file), reason


needs_c_compiler = pytest.mark.skipif(C_COMPILER is None, reason="there is no C compiler")


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """The source distribution, and the wheel made of it."""
    folder = tmp_path_factory.mktemp("distributions")
    source = copy_of_the_source(folder)
    python = fresh_environment(folder / "builder")
    run(python, "-m", "pip", "install", "-q", "build", cwd=folder)
    run(python, "-m", "build", "--outdir", folder / "dist", source, cwd=folder)
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    (wheel,) = (folder / "dist").glob("*.whl")
    return sdist, wheel


@pytest.mark.packaging
@needs_c_compiler
def test_a_wheel_is_compiled_and_installs(distributions, tmp_path):
    wheel = distributions[1]
    assert "none-any" not in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    assert "autobp/py.typed" in names
    assert "autobp/engine.py" in names, "the source comes along, to be read"
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "examples"))]
    compiled, file, reason = installed(wheel, tmp_path)
    assert compiled
    assert reason == ""
    assert file.suffix in (".so", ".pyd")


@pytest.mark.packaging
@needs_c_compiler
def test_a_source_distribution_holds_the_tests_and_installs_compiled(distributions, tmp_path):
    sdist = distributions[0]
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.py", "LICENSE", "README.md", "tests/test_engine.py", "benchmarks/__main__.py"} <= names
    compiled, *_ = installed(sdist, tmp_path)
    assert compiled


@pytest.mark.packaging
def test_without_a_c_compiler_the_install_succeeds_uncompiled_and_says_so(tmp_path):
    source = copy_of_the_source(tmp_path)
    no_compiler = {"CC": "no-such-compiler", "CXX": "no-such-compiler", "LDSHARED": "no-such-compiler"}
    python = fresh_environment(tmp_path / "builder")
    said = run(
        python, "-m", "pip", "wheel", "-v", "--no-deps", "-w", tmp_path, source, cwd=tmp_path, **no_compiler
    )
    assert "not compiled (no working C compiler" in said
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("py3-none-any.whl")
    compiled, file, reason = installed(wheel, tmp_path)
    assert not compiled
    assert reason.startswith("no working C compiler: ")
    assert file.name == "engine.py"


@pytest.mark.packaging
def test_an_editable_install_runs_the_source(tmp_path):
    source = copy_of_the_source(tmp_path)
    compiled, file, reason = installed(source, tmp_path, "-e")
    assert not compiled
    assert "editable install" in reason
    assert file == source / "autobp" / "engine.py"
    assert not [path for path in source.rglob("*") if path.suffix in (".so", ".pyd")]


# -------------------------------------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("system", "machine", "wanted"),
    [
        ("Linux", "x86_64", True),
        ("Darwin", "arm64", True),
        ("Windows", "AMD64", True),
        ("Windows", "ARM64", False),
        ("Emscripten", "wasm32", False),
    ],
)
def test_pygraphviz_is_asked_for_where_it_has_wheels(system, machine, wanted):
    markers = pytest.importorskip("packaging.markers")
    lines = (ROOT / "setup.cfg").read_text(encoding="utf-8").splitlines()
    (marker,) = [line.partition(";")[2] for line in lines if line.strip().startswith("pygraphviz")]
    environment = {"platform_system": system, "platform_machine": machine}
    assert markers.Marker(marker).evaluate(environment) is wanted


def test_wheels_are_made_for_every_python_that_is_named():
    named = re.findall(r":: (3\.\d+)\n", (ROOT / "setup.cfg").read_text(encoding="utf-8"))
    (built,) = re.findall(r'^build = "(.*)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M)
    assert built.split() == [f"cp{version.replace('.', '')}-*" for version in named]
