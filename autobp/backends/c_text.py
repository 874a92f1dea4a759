"""Programs as C99 that stands alone: it needs ``math.h``, and nobody's library.

Each program becomes a function of the parameters, the data, the number of samples, and memory to write to.
It goes through the samples in blocks of :data:`~autobp.backends.c_memory.BLOCK`, and has a loop nest for each
array of the program, under the same name. Nothing in a file is static but tables of numbers, so that several
threads can run it, each with a work area of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from math import prod

from autobp import ir
from autobp.backends.c_formulas import SEVERAL, CModule
from autobp.backends.c_loops import with_loops_of_samples
from autobp.backends.c_memory import BLOCK, Kept, Memory
from autobp.backends.c_nests import KEPT_A_LOOP, KEPT_A_LOOP_DEFINED, Nest, written
from autobp.backends.c_parts import APART, LONGEST, LONGEST_OF_ANY_LENGTH, Parts
from autobp.backends.c_plan import Plan, Scope, Section, is_computed
from autobp.backends.c_positions import broadcast, flat
from autobp.backends.c_statements import Statements
from autobp.backends.printer import Text, total_expression
from autobp.ops import ATOM, PRODUCT, SIGN


@dataclass(frozen=True)
class CFunction:
    """A program as a function in C.

    Attributes:
        name: of the function.
        arguments, shapes: the names of the data, in order, and the shape that each is passed in, with -1 for
            the number of samples.
        n_parameters: the length of theta.
        derivative: what it writes beside the cost or the outputs is called, as "gradient"; "" for none.
        made: whether that has samples, and its shape for one.
        result_shape: of the outputs for one sample; None where it returns a cost.
        has_samples: whether there is data with samples.
        fixed, each: the doubles that its work area needs: fixed + m·each for m samples.
        checks: whether an index from the data may be wrong; the result is then not a number.
        lines: of its body.
        parts: functions that it calls.
    """

    name: str
    arguments: tuple[str, ...]
    shapes: tuple[ir.Shape, ...]
    n_parameters: int
    derivative: str
    made: tuple[bool, ir.Shape]
    result_shape: ir.Shape | None
    has_samples: bool
    fixed: int
    each: int
    checks: bool
    lines: Sequence[str]
    parts: Sequence[str] = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many numbers each of the arguments has for a sample."""
        return tuple([prod([n for n in shape if n >= 0]) for shape in self.shapes])

    @property
    def written(self) -> tuple[ir.Shape, ...]:
        """The shapes of what it writes: the outputs, the derivative; with -1 for the number of samples."""
        batched, shape = self.made
        found = [(-1, *shape) if batched else shape] * (self.derivative != "")
        if self.result_shape is not None:
            found.insert(0, (-1, *self.result_shape) if self.has_samples else self.result_shape)
        return tuple(found)

    @property
    def about(self) -> str:
        """What it gives."""
        return _ABOUT[self.result_shape is None, self.derivative != ""].format(self.derivative)

    @property
    def declared(self) -> str:
        """Its declaration."""
        data = "".join([f"const double *{x}, " for x in self.arguments])
        writes = "double *outputs, " if self.result_shape is not None else ""
        writes += f"double *{self.derivative}, " if self.derivative else ""
        kind = "double" if self.result_shape is None else "int"
        return f"{kind} {self.name}(const double *theta, {data}long m, {writes}double *work)"

    @property
    def needs(self) -> str:
        """The doubles of its work area, in C."""
        return f"{self.fixed} + {self.each} * m" if self.each else str(self.fixed)

    @property
    def text(self) -> str:
        """All of it."""
        body = "".join([f"    {line}\n" if line else "\n" for line in self.lines])
        text = f"/* {self.about} The work area has {self.needs} doubles. */\n{self.declared} {{\n{body}}}"
        return "\n\n".join([*self.parts, text])


@dataclass(frozen=True)
class CSource:
    """A file of C."""

    text: str
    functions: tuple[CFunction, ...]


def c_source(
    programs: Mapping[str, ir.Program], about: str, same_sizes: Set[int] | None = None
) -> CSource:
    """A file with one function for each program, by name.

    Args:
        about: what the comment at the head says first.
        same_sizes: as :class:`~autobp.backends.c_formulas.CModule` has them.

    Raises:
        TypeError: an operation is computed by Python code, which has no formula.
    """
    module = CModule(same_sizes)
    functions = [write(name, program, module) for name, program in programs.items()]
    return file_of(about, module, [APART] if any(x.parts for x in functions) else [], functions)


def file_of(about: str, module: CModule, parts: Sequence[str], functions: Sequence[CFunction]) -> CSource:
    """Functions as a file, after what they need."""
    comment = f"/* {about.replace('*/', '* /')}\n\n{_HEAD}*/"
    head = [
        "#include <math.h>",
        _SEVERAL,
        f"#define BLOCK {BLOCK} /* samples that are gone through together */",
    ]
    texts = [*parts, *[function.text for function in functions]]
    if any(KEPT_A_LOOP in text for text in texts):
        head.append(KEPT_A_LOOP_DEFINED)
    blocks = [comment, *head, module.text(texts), *texts]
    return CSource("\n\n".join([block for block in blocks if block]) + "\n", tuple(functions))


_HEAD = """Numbers are doubles, and arrays lie row by row, one row for each of the m samples. The caller hands
in the work area, whose size stands before each function. Build it with -std=c99, link it with -lm, and let no
option such as -ffast-math change what sums and comparisons mean.
"""


#: glibc has these for several numbers at once, which GCC calls only where they are declared so.
_SEVERAL = f"""#if defined(__GLIBC__) && defined(__GNUC__) && defined(__x86_64__) && !defined(__clang__)
#if !defined(__cplusplus) && __GLIBC__ == 2 && __GLIBC_MINOR__ >= 35
#define HAS_SEVERAL /* functions for several numbers at once */
{chr(10).join([f'__attribute__((simd("notinbranch"))) double {name}(double);' for name in SEVERAL])}
#endif
#endif"""


def write(name: str, program: ir.Program, module: CModule) -> CFunction:
    """A program as a function."""
    program = with_loops_of_samples(program)
    function = _Function(name, module, program)
    lines = function.body()
    made = program.results[1] if len(program.results) == 2 else None
    return CFunction(
        name,
        tuple([function.kept[x].name for x in program.inputs]),
        tuple([(-1, *x.sample) if x.batched else x.sample for x in program.inputs]),
        program.theta.n,
        "" if made is None else function.derivative,
        (False, ()) if made is None else (made.batched, made.shape),
        program.result_shape,
        program.has_samples,
        function.memory.fixed,
        function.memory.each,
        function.checks,
        lines,
        function.parts,
    )


_ABOUT = {
    (True, False): "The mean cost over the m samples.",
    (True, True): "The mean cost over the m samples, and its {} by theta.",
    (False, False): "The outputs for each of the m samples. 0; 1 where an index in the data is none.",
    (False, True): "The outputs for each of the m samples, and the {}. 0; 1 where an index in the data is none.",  # noqa: E501
}


class _Function(Statements):
    """Writes a whole program."""

    def __init__(self, name: str, module: CModule, program: ir.Program) -> None:
        self.plan, self.function_name = Plan(program), name
        super().__init__(module, program, Memory(module.same_sizes is not None), self.plan.inlined)
        for x in program.inputs:
            scope = Scope.ALL if x.batched else Scope.ONCE
            self.kept[x] = Kept(self.free_name(self.names[x]), scope, x.size)
        called = program.names.get(program.results[-1], "")
        self.derivative = "gradient" if called in ("", "gradient") else self.free_name(called)
        self.sections: dict[Section, list[str | Nest]] = {}
        self.sums: list[str] = []
        self.parts: list[str] = []
        self.checks = False
        self.section = Section(0, False)

    def enter(self, section: Section) -> None:
        """Let the next statement be written in a section."""
        self.section, self.in_block = section, section.in_block
        self.lines = self.sections.setdefault(section, [])

    def before(self, part: str | Nest) -> None:
        self.sections.setdefault(Section(self.section.phase, False), []).append(part)

    @property
    def phase(self) -> int:
        return self.section.phase

    def scope_of(self, array: ir.Array) -> Scope:
        return self.plan.scopes.get(array) or super().scope_of(array)

    def scopes_left_by(self, array: ir.Loop) -> list[Scope]:
        return [self.plan.scopes[array] if x.batched else Scope.ONCE for x in array.body.results]

    # --------------------------------------------------------------------------------------- the function

    def body(self) -> list[str]:
        """The lines of the function."""
        program = self.program
        for array in program.arrays:
            if is_computed(array, self.inlined):
                self.enter(self.plan.sections[array])
                self.method(array)(array)
        for derivative in program.results[1:]:
            if derivative not in self.kept:
                self.enter(self.plan.result_sections[derivative])
                self.copy(self.kept_derivative(derivative), derivative, self)
        if program.result_shape is not None:
            self.outputs(program.results[0])
        sections = {section: written(self.sections[section]) for section in sorted(self.sections)}
        self.checks = any("&wrong" in line for inner in sections.values() for line in inner)
        longest = LONGEST_OF_ANY_LENGTH if self.memory.of_any_length else LONGEST
        if sum(map(len, sections.values())) > longest:
            heads, lines = self.in_parts(sections)
        else:
            heads, lines = [*self.memory.declarations().values()], [*in_phases(sections), self.returned()]
        if self.checks:
            heads.append("int wrong = 0;")
        arguments = ["theta", *[self.kept[x].name for x in program.inputs], "m", "work"]
        unread = _unread([*arguments, *([] if self.parts else self.memory.names())], [*heads, *lines])
        return [*heads, *[f"(void){x};" for x in unread], *lines]

    def in_parts(self, sections: Mapping[Section, Sequence[str]]) -> tuple[list[str], list[str]]:
        """The same with parts that are called; all that is kept from one to another is in memory."""
        sums = re.compile(rf"^double (?=sum_)|\b({'|'.join(self.sums) or '(?!)'})\b")

        def kept(line: str) -> str:
            return sums.sub(lambda found: f"{found[1]}[0]" if found[1] else "", line)

        for name in self.sums:
            self.memory.keep(name, Scope.ONCE, 1)
        self.memory.move_to_work()
        read = ["theta", *[self.kept[x].name for x in self.program.inputs]]
        arguments = {name: f"const double *{name}" for name in read}
        arguments |= {"m": "long m", **{x: f"double *{x}" for x in ("outputs", self.derivative, "work")}}
        parts = Parts(self.function_name, arguments, self.memory.declarations())
        calls = {
            section: parts.calls([kept(line) for line in lines], section.in_block)
            for section, lines in sections.items()
        }
        self.parts = parts.texts
        lines = [*in_phases(calls), kept(self.returned())]
        return parts.heads(lines)[0], lines

    def returned(self) -> str:
        """The last line."""
        program = self.program
        if program.result_shape is not None:
            return f"return {'wrong' if self.checks else '0'};"
        total = program.results[0]
        assert isinstance(total, ir.Total)
        cost = self.formulas.write(total_expression(total), [Text(x, ATOM) for x in self.sums]).text
        return f"return wrong ? NAN : {cost};" if self.checks else f"return {cost};"

    def outputs(self, array: ir.Array) -> None:
        """Write a nest that puts the outputs where the caller wants them."""
        self.enter(self.plan.result_sections[array])
        with_samples = self.program.has_samples
        loops, index = self.axes(array.shape, with_samples)
        kept = Kept("outputs", Scope.ALL if with_samples else Scope.ONCE, array.size)
        target = self.at(kept, flat(array.shape, index))
        self.add_nest(loops, [f"{target} = {self.element(array, index).text};"])

    def keep(self, array: ir.Array) -> Kept:
        if array in self.program.results[1:]:
            self.kept[array] = self.kept_derivative(array)
            return self.kept[array]
        return super().keep(array)

    def kept_derivative(self, array: ir.Array) -> Kept:
        """The caller's memory for a derivative."""
        return Kept(self.derivative, Scope.ALL if array.batched else Scope.ONCE, array.size)

    def total(self, array: ir.Total) -> None:
        """Write the sums that the mean cost is made of; what it is itself is written last."""
        for term, section in zip(array.terms, self.plan.term_sections, strict=True):
            self.enter(section)
            arrays = [x for x in (term.x, term.y) if x is not None]
            shape = max([x.shape for x in arrays], key=lambda shape: (len(shape), shape))
            loops, index = self.axes(shape, section.in_block)
            texts = [self.element(x, broadcast(x.shape, index)) for x in arrays]
            text = texts[0].text
            if term.y is term.x:
                text = f"{self.module.helper('square')}({text})"
            elif term.y is not None:
                text = f"{self.formulas.wrap(texts[0], PRODUCT)} * {self.formulas.wrap(texts[1], SIGN)}"
            name = self.free_name("sum_")
            self.sums.append(name)
            self.before(f"double {name} = 0.0;")
            self.add_nest(loops, [f"{name} += {text};"])


def in_phases(sections: Mapping[Section, Sequence[str]]) -> list[str]:
    """What comes before the samples, and what is done with each block of them, phase by phase."""
    lines: list[str] = []
    for section, inner in sections.items():
        if not section.in_block:
            lines += inner
        elif inner:
            lines.append("for (long first = 0; first < m; first += BLOCK) {")
            lines.append("    const long rows = m - first < BLOCK ? m - first : BLOCK;")
            lines += [f"    {line}" for line in inner]
            lines.append("}")
    return lines


def _unread(names: Sequence[str], lines: Sequence[str]) -> list[str]:
    """The names that are declared and set at most, of which compilers warn."""
    declared = re.compile(r"^\s*(double \*?(const )?)?\w+(\[.*?\])? \+?= |^\s*double \w+")
    read = {word for line in lines for word in re.findall(r"\w+", declared.sub(_index_alone, line))}
    return [name for name in names if name not in read]


def _index_alone(target: re.Match[str]) -> str:
    """What is read where something is set: the index of an element."""
    return target[3] or ("" if target[1] is None else " ")
