"""Build script: compiles the core with mypyc where it can; the metadata is in setup.cfg.

The compiled modules are plain Python and run uncompiled just as well, only slower. So an install without a C
compiler, or with a mypyc whose C code this script does not know, succeeds; it says why nothing was compiled,
and records that beside the modules, for ``autobp.__compiled__.reason``. An editable install is never
compiled, so that it is never stale: it runs the source as it stands.

The environment variable AUTOBP_COMPILE decides instead: with 0 nothing is compiled, and with 1 a build that
cannot compile fails.
"""

from __future__ import annotations

import ast
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from setuptools import Distribution, Extension, setup
from setuptools.command.build_py import build_py

MODULES = [
    "autobp/elementary.py",
    "autobp/registry.py",
    "autobp/special.py",
    "autobp/ops.py",
    "autobp/state.py",
    "autobp/details.py",
    "autobp/chain.py",
    "autobp/describing.py",
    "autobp/errors.py",
    "autobp/nodes.py",
    "autobp/arithmetic.py",
    "autobp/by_hand.py",
    "autobp/freeing.py",
    "autobp/pickling.py",
    "autobp/engine.py",
    "autobp/calling.py",
    "autobp/folded.py",
    "autobp/activations.py",
    "autobp/nn.py",
]

#: The releases of mypy whose mypyc writes C code that this script knows how to change; as in pyproject.toml.
KNOWN_MYPYC = "2.4"

#: mypy reads the modules without NumPy's types, which are stubs, so that the result does not depend on
#: whether they are there; and without the package's own module, which names everything for type checkers:
#: it would read 250 modules more, and what those import, for the same C code.
MYPY_CONFIGURATION = """\
[mypy]
ignore_missing_imports = true
follow_imports = silent
[mypy-numpy.*]
follow_imports = skip
follow_imports_for_stubs = true
[mypy-autobp]
follow_imports = skip
"""


def obstacle() -> str:
    """Why nothing will be compiled; empty where nothing is in the way."""
    if os.environ.get("AUTOBP_COMPILE") == "0":
        return "AUTOBP_COMPILE was 0"
    if sys.implementation.name != "cpython":
        return f"mypyc compiles for CPython, and this is {sys.implementation.name}"
    try:
        import mypyc.build  # noqa: F401
        from mypy.version import __version__ as version
    except ImportError:
        return "mypyc is not installed"
    if not version.startswith(f"{KNOWN_MYPYC}."):
        return f"this is mypyc {version}, and setup.py knows the C code of {KNOWN_MYPYC} alone"
    return c_compiler_error()


def c_compiler_error() -> str:
    """What goes wrong when an extension module is built; empty where nothing does."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("#include <Python.h>\nPyMODINIT_FUNC PyInit_probe(void) { return NULL; }\n")
        probe = Distribution({"ext_modules": [Extension("probe", [str(source)])]})
        build = probe.get_command_obj("build_ext")
        build.build_lib = build.build_temp = folder
        try:
            build.ensure_finalized()
            build.run()
        except Exception as error:  # compilers fail in many ways, each with exceptions of its own
            return f"no working C compiler: {' '.join(str(error).split())}"
    return ""


def compiled_modules() -> list[Extension]:
    """The extension modules, as C code that mypyc has written; RuntimeError where it cannot be used."""
    from mypyc.build import mypycify

    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder, "mypy.ini")
        configuration.write_text(MYPY_CONFIGURATION)
        try:
            # -O3 makes nothing faster here, -O1 costs the core a twentieth, and the C is not for debugging.
            extensions = mypycify(
                [f"--config-file={configuration}", *MODULES], opt_level="2", debug_level="0"
            )
        except SystemExit:
            raise RuntimeError("mypyc refused the source; the build's output has what it said") from None
        except Exception as error:
            raise RuntimeError(f"mypyc failed: {type(error).__name__}: {error}") from error
    n_deallocators = n_setters = 0
    for source in {source for extension in extensions for source in extension.sources}:
        c, n = without_trashcan(Path(source).read_text(encoding="utf-8"), "Value")
        n_deallocators += n
        c, n = without_deletion(c)
        n_setters += n
        Path(source).write_text(with_docstrings(c), encoding="utf-8")
    if n_deallocators != 1:
        raise RuntimeError("the deallocator that this mypyc writes looks different from what setup.py knows")
    if n_setters != sum(Path(module).read_text(encoding="utf-8").count(".setter\n") for module in MODULES):
        raise RuntimeError("the setters that this mypyc writes look different from what setup.py knows")
    return extensions


def without_trashcan(c: str, acyclic: str) -> tuple[str, int]:
    """The C code with a plain deallocator for an acyclic class, and how many of that class there were.

    mypyc's deallocators defer deep recursion by CPython's trashcan, which writes into the header that the
    garbage collector puts before an object (up to Python 3.13). Acyclic objects have no such header: other
    memory is overwritten. Value needs no trashcan, since its __del__ prevents the recursion.
    """
    return re.subn(
        rf"CPy_TRASHCAN_BEGIN\(self, \w+___{acyclic}_dealloc\)(.*?)CPy_TRASHCAN_END\(self\)",
        r"\1",
        c,
        flags=re.DOTALL,
    )


def without_deletion(c: str) -> tuple[str, int]:
    """The C code with setters of properties that refuse ``del``, as Python's do, and how many there are.

    CPython calls a setter with NULL to delete, and what mypyc writes for properties takes that for a value.
    """
    return re.subn(
        r"(_set_(\w+)\(\w+ \*self, PyObject \*value, void \*closure\)\s*\{\s*\w+ retval = \w+;\n)",
        r"""\1if (value == NULL) {
    PyErr_SetString(PyExc_AttributeError, "attribute '\2' cannot be deleted");
    return -1;
}
""",
        c,
    )


def with_docstrings(c: str) -> str:
    """The C code with the docstrings of the source, which mypyc leaves out, for help()."""
    for path in MODULES:
        module = Path(path).stem
        for name, kind, docstring in docstrings(ast.parse(Path(path).read_text(encoding="utf-8"))):
            # three groups: the second is the signature, where there is one, which the docstring goes after
            if kind == "module":
                pattern = rf'("autobp\.{module}",\s+)(NULL)(, /\* docstring \*/)'
            elif kind == "class":
                pattern = rf'(\.tp_doc = PyDoc_STR\()("{name}\(.*?\\n--\\n\\n")(\))'
            elif kind == "property":
                getter = rf"\(getter\){module}___" + name.replace(".", "_get_")
                pattern = rf"({getter},\s+(?:NULL|\(setter\)\w+),\s+)(NULL)(, NULL\}})"
            else:
                function = f"CPyPy_{module}___" + name.replace(".", "___")
                pattern = rf'({function},\s+METH_[A-Z_| ]+, PyDoc_STR\()(NULL|"[^"]*?\\n--\\n\\n")(\))'
            literal = f'"{c_string(docstring)}"'
            c = re.sub(pattern, lambda m, d=literal: m[1] + m[2].replace("NULL", "") + d + m[3], c)
    return c


def docstrings(tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    """(qualified name, kind, docstring) of a module and of what it holds, where there is one."""
    yield "", "module", ast.get_docstring(tree) or ""
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
            kind = "class" if isinstance(node, ast.ClassDef) else "function"
            yield node.name, kind, ast.get_docstring(node)
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef) and ast.get_docstring(member):
                    is_property = any(ast.unparse(d) == "property" for d in member.decorator_list)
                    kind = "property" if is_property else "function"
                    yield f"{node.name}.{member.name}", kind, ast.get_docstring(member)


def c_string(text: str) -> str:
    """What stands between the quotes of a C string literal, in ASCII."""
    return "".join(
        {"\n": r"\n", '"': r"\"", "\\": r"\\", "?": r"\?"}.get(character, character)
        if character.isascii()
        else "".join(f"\\{byte:03o}" for byte in character.encode())
        for character in text
    )


def extensions() -> tuple[list[Extension], str]:
    """The extension modules of this run, and why there are none, where some were to be built."""
    if not {"bdist_wheel", "build", "build_ext", "install"} & set(sys.argv):
        return [], ""
    if {"--inplace", "-i"} & set(sys.argv):
        raise SystemExit("compiled files beside the source would go stale; use build --build-lib FOLDER")
    reason = obstacle()
    if not reason:
        print("autobp: compiling " + ", ".join(MODULES), file=sys.stderr)
        try:
            return compiled_modules(), ""
        except RuntimeError as error:
            reason = str(error)
    if os.environ.get("AUTOBP_COMPILE") == "1":
        raise SystemExit(f"autobp: AUTOBP_COMPILE is 1, but nothing can be compiled: {reason}")
    print(f"autobp: not compiled ({reason}); it runs as plain Python, and slower", file=sys.stderr)
    return [], reason


def recording(reason: str) -> type[build_py]:
    """The command that copies the modules, with the reason for which they are not compiled beside them."""

    class BuildWithRecord(build_py):
        def run(self) -> None:
            super().run()
            record = Path(self.build_lib, "autobp", "not_compiled.txt")
            if reason:
                record.write_text(f"{reason}\n", encoding="utf-8")
            else:
                record.unlink(missing_ok=True)  # of an earlier build

    return BuildWithRecord


if __name__ == "__main__":
    modules, why_not = extensions()
    setup(ext_modules=modules, cmdclass={"build_py": recording(why_not)})
