"""Picture: a graphviz.Digraph that is laid out without any installed Graphviz.

The wheels of pygraphviz carry Graphviz as a library. It is called in a child process, always: that costs some
50 ms, and in return a long layout, which holds the interpreter lock and ignores Ctrl-C, can be stopped, a
crash of the library stays away from the caller, and so does what it prints to stderr.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import graphviz

_LAYOUT = """\
import os
import sys
import pygraphviz
from pygraphviz import graphviz
engine, format = [argument.encode() for argument in sys.argv[1:]]
graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode())
context = graphviz.gvContextWithBuiltins()
if graphviz.gvLayout(context, graph.handle, engine):
    sys.exit("error: the layout failed")
failed, picture = graphviz.gvRenderData(context, graph.handle, format)
if failed:
    sys.exit("error: the format cannot be written")
sys.stdout.buffer.write(picture)
sys.stdout.buffer.flush()
os._exit(0)  # without freeing the layout, which crashes on a label with an empty line
"""

_NO_ENGINE = (
    "nothing here can lay out a graph: install pygraphviz, whose wheels carry Graphviz (pip install "
    "pygraphviz), or Graphviz itself, so that `dot` is on the PATH. Or lay out its .source elsewhere"
)


class LayoutError(RuntimeError):
    """The layout engine failed, or there is none; the message says what to do."""


class Picture(graphviz.Digraph):  # type: ignore[misc]
    """A drawing: ``source`` is Graphviz's language, and notebooks show it as SVG.

    All of :class:`graphviz.Digraph`'s methods work. ``pipe``, ``render`` and the notebook's display lay the
    graph out with pygraphviz, and with ``dot`` where only that is there.

    Raises:
        LayoutError: on laying out, where there is neither pygraphviz nor ``dot``, or where it failed.
    """

    def pipe(
        self,
        format: str | None = None,
        renderer: str | None = None,
        formatter: str | None = None,
        neato_no_op: bool | int | None = None,
        quiet: bool = False,
        *,
        engine: str | None = None,
        encoding: str | None = None,
    ) -> Any:
        """The picture as bytes in a format ("svg", "png", "pdf", …); a string where encoding is given."""
        if neato_no_op is not None:
            raise ValueError("neato_no_op is not supported here; call graphviz.Source(picture.source).pipe()")
        full_format = ":".join(filter(None, [format or self.format, renderer, formatter]))
        made = lay_out(self.source, engine or self.engine, full_format)
        return made if encoding is None else made.decode(encoding)

    def render(
        self,
        filename: str | os.PathLike[str] | None = None,
        directory: str | os.PathLike[str] | None = None,
        view: bool = False,
        cleanup: bool = False,
        format: str | None = None,
        renderer: str | None = None,
        formatter: str | None = None,
        neato_no_op: bool | int | None = None,
        quiet: bool = False,
        quiet_view: bool = False,
        *,
        outfile: str | os.PathLike[str] | None = None,
        engine: str | None = None,
        raise_if_result_exists: bool = False,
        overwrite_source: bool = False,
    ) -> str:
        """Save the source and, beside it, the picture; return the picture's path.

        The arguments are those of :meth:`graphviz.Digraph.render`: with ``filename`` "net" and format "svg",
        the source goes to "net" and the picture to "net.svg"; with ``outfile`` "net.svg" the source goes to
        "net.gv". ``cleanup`` removes the source again. To write the picture alone, see :meth:`write`.
        """
        if outfile is not None:
            target = Path(self.directory if directory is None else "", outfile)
            format = format or _suffix(target)
            source = target.with_suffix(".gv") if filename is None else Path(directory or "", filename)
        else:
            format = format or self.format
            source = Path(self.directory if directory is None else directory, filename or self.filename)
            suffixes = [part for part in (formatter, renderer, format) if part]
            target = source.with_name(".".join([source.name, *suffixes]))
        if source == target and not overwrite_source:
            raise ValueError(f"the picture {target} would overwrite its own source; choose another filename")
        if raise_if_result_exists and target.exists():
            raise FileExistsError(f"{target} exists already")
        made = self.pipe(format, renderer, formatter, neato_no_op, quiet, engine=engine)
        self.save(os.fspath(source))
        target.write_bytes(made)
        if cleanup:
            source.unlink()
        if view or quiet_view:
            graphviz.view(os.fspath(target))
        return os.fspath(target)

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture alone to a file whose suffix says the format: .svg, .png, .pdf, .gv, …

        Raises:
            ValueError: the suffix is no format, or missing.
        """
        target = Path(path)
        format = _suffix(target)
        target.write_bytes(self.source.encode() if format in ("gv", "dot") else self.pipe(format))
        return target


def lay_out(source: str, engine: str = "dot", format: str = "svg") -> bytes:
    """A graph in Graphviz's language, laid out and written in a format.

    Raises:
        LayoutError: there is no layout engine, or it failed.
        ValueError: the engine or the format is unknown.
    """
    if engine not in graphviz.ENGINES:
        raise ValueError(f"unknown layout engine {engine!r}; known are {', '.join(sorted(graphviz.ENGINES))}")
    if format.split(":")[0] not in graphviz.FORMATS:
        raise ValueError(f"unknown format {format!r}; for example svg, png, pdf")
    complaint = ""
    if sys.executable and find_spec("pygraphviz") is not None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = _run([sys.executable, "-c", _LAYOUT, engine, format], source, environment)
        if done.returncode == 0 and done.stdout:
            return done.stdout
        complaint = _complaint(done.stderr)
    try:
        done = _run(["dot", f"-K{engine}", f"-T{format}"], source)
    except FileNotFoundError:
        if complaint:
            raise LayoutError(f"pygraphviz could not lay out the picture as {format}: {complaint}") from None
        raise LayoutError(_NO_ENGINE) from None
    if done.returncode == 0 and done.stdout:
        return done.stdout
    raise LayoutError(f"Graphviz could not lay out the picture as {format}: {_complaint(done.stderr)}")


def _run(
    command: list[str], source: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, input=source.encode(), capture_output=True, env=environment, check=False)


def _complaint(stderr: bytes) -> str:
    """What an engine said, less the warnings that say nothing about the picture."""
    lines = [line for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() and "fontconfig" not in line.lower()]
    return (errors or lines or ["it gave no reason"])[-1].strip()


def _suffix(path: Path) -> str:
    format = path.suffix.lower().lstrip(".")
    if format not in graphviz.FORMATS and format not in ("gv", "dot"):
        raise ValueError(f"cannot tell a format from {path.name!r}: end it in .svg, .png or .pdf")
    return format
