"""C for graphs without arrays: the operations in tables, and a loop that goes through them.

Where hardly two scalars are alike, code for each would take a compiler minutes. So there is code for each
kind of operation, and tables say which comes when and what its operands are. Numbers lie in the work area, a
slot for each scalar and sample of a block: first constants, then parameters, data, and what is computed. A
second such area has the adjoints, and the gradient is gathered by going through the tables backwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from autobp.backends.c_formulas import RESERVED, CModule, identifier, listed, number
from autobp.backends.c_memory import BLOCK
from autobp.backends.c_text import CFunction, CSource, file_of
from autobp.backends.printer import Text
from autobp.ir import Floats, Indices, Shape
from autobp.ir.expression import Expression, partials_of, slots, value_of
from autobp.ops import ATOM, PRODUCT, Operation

ONE = 0  # the slot of the constant 1, the second factor of what is added as it is


@dataclass(frozen=True)
class Form:
    """A kind of operation: of the table with so many operands and these constants; or a sum of products."""

    operation: Operation | None
    n_operands: int
    constants: tuple[float, ...] = ()


SUM_OF_PRODUCTS = Form(None, 0)


@dataclass(frozen=True, eq=False)
class Tables:
    """A graph as tables. Slots are numbered through: constants, parameters, data, what is computed.

    Attributes:
        n_parameters: the length of theta.
        constants: the numbers of the first slots; that of :data:`ONE` is 1.
        parameters: the positions in theta of those that come next.
        arguments: of each argument its name, its shape for a sample, and the positions in it of the
            slots that come next.
        forms: the kinds of operations.
        runs: (number of runs, 2): a form, and how many operations in a row have it.
        starts: where in ``operands`` those of each operation begin, and the end of the last.
        operands: slots. Of a sum, two for each term, the factors; the first as -1 - slot where the product is
            subtracted.
        outputs: the slots of the results.
        result_shape: of the outputs for one sample; None for a cost.
    """

    n_parameters: int
    constants: Floats
    parameters: Indices
    arguments: Sequence[tuple[str, Shape, Indices]]
    forms: Sequence[Form]
    runs: Indices
    starts: Indices
    operands: Indices
    outputs: Indices
    result_shape: Shape | None

    @property
    def first(self) -> int:
        """The first slot that is computed."""
        given = [len(positions) for _, _, positions in self.arguments]
        return len(self.constants) + len(self.parameters) + sum(given)

    @property
    def n_slots(self) -> int:
        """How many slots there are."""
        return self.first + len(self.starts) - 1


def c_tables(tables: Tables, about: str) -> CSource:
    """A file with the functions of a graph: ``value``, and of a cost ``cost_and_gradient``.

    Raises TypeError where an operation is computed by Python code, which has no formula.
    """
    return _Writer(tables).file(about)


class _Writer:
    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.module = CModule()
        self.width = BLOCK if tables.arguments else 1
        self.names = [_argument_name(name) for name, _, _ in tables.arguments]

    def file(self, about: str) -> CSource:
        is_cost = self.tables.result_shape is None
        parts = [self.forward()]
        functions = [self.function("value", 1)]
        if is_cost:
            parts.append(self.backward())
            functions.append(self.function("cost_and_gradient", 2))
        return file_of(about, self.module, [*self.written_tables(), *parts], functions)

    # ---------------------------------------------------------------------------------------------- tables

    def written_tables(self) -> list[str]:
        tables, width = self.tables, self.width
        scaled = [x * width if x >= 0 else -1 - (-1 - x) * width for x in tables.operands.tolist()]
        runs = tables.runs.reshape(-1).tolist()
        found = [
            _table("CONSTANTS", [number(x) for x in tables.constants.tolist()], "double"),
            _table("PARAMETERS", tables.parameters.tolist()),
            *[_table(f"INPUT{k}", at.tolist()) for k, (_, _, at) in enumerate(tables.arguments)],
            f"/* Runs of operations of one kind: which, and how many. */\n{_table('RUNS', runs)}",
            f"/* Where the operands of each begin. */\n{_table('STARTS', tables.starts.tolist())}",
            f"/* Where operands lie; -1 less that, of a product that is subtracted. */\n"
            f"{_table('OPERANDS', scaled)}",
        ]
        if tables.result_shape is not None:
            found.append(_table("OUTPUTS", (tables.outputs * width).tolist()))
        return found

    # ------------------------------------------------------------------------------------------ operations

    def each(self, lines: Sequence[str]) -> list[str]:
        """Lines for each sample of a block."""
        if self.width == 1:
            return [line.replace("[s]", "[0]").replace(" + s]", "]") for line in lines]
        if len(lines) == 1:
            return ["for (long s = 0; s < rows; s++)", f"    {lines[0]}"]
        return ["for (long s = 0; s < rows; s++) {", *[f"    {line}" for line in lines], "}"]

    def forward(self) -> str:
        cases = []
        for k, form in enumerate(self.tables.forms):
            lines = self.sum() if form.operation is None else self.each(self.value(form))
            cases += [f"case {k}: {_comment(form)}", *self.for_each_operation(lines, False), "    break;"]
        lines = [
            "/* What all operations give. */",
            "static void forward(double *v, long rows) {",
            "    long i = 0;",
            "    (void)rows;",
            f"    for (long r = 0; r < {len(self.tables.runs)}; r++) {{",
            "        const long end = i + RUNS[2 * r + 1];",
            "        switch (RUNS[2 * r]) {",
            *[f"        {line}" for line in cases],
            "        }\n    }\n}",
        ]
        return "\n".join(lines)

    def for_each_operation(self, lines: Sequence[str], back: bool) -> list[str]:
        """The loop over the operations of a run."""
        head = "for (; i > end; i--) {" if back else "for (; i < end; i++) {"
        number_ = "i - 1" if back else "i"
        width = "" if self.width == 1 else f"{self.width} * "
        place = f"({self.tables.first} + {number_})" if width else f"{self.tables.first} + {number_}"
        return [
            f"    {head}",
            f"        const int *at = OPERANDS + STARTS[{number_}];",
            f"        const long y = {width}{place};",
            *[f"        {line}" for line in lines],
            "    }",
        ]

    def operands(self, form: Form) -> list[Text]:
        return [Text(f"v[at[{k}] + s]", ATOM) for k in range(form.n_operands)]

    def value(self, form: Form) -> list[str]:
        """What sets the number of an operation, for sample s."""
        assert form.operation is not None
        made = value_of(form.operation, list(slots(form.n_operands)), form.constants)
        if not isinstance(made, Expression):
            return [f"v[y + s] = {number(float(made))};"]
        named, result = self.module.formulas.parts(made, self.operands(form))
        lines = [f"const double {name} = {text};" for name, text in named]
        return [*lines, f"v[y + s] = {result.text};"]

    def sum(self) -> list[str]:
        """What adds up products, in their order."""
        product = "v[a + s] * v[at[k + 1] + s]"
        return [
            "const long n = STARTS[i + 1] - STARTS[i];",
            "for (long k = 0; k < n; k += 2) {",
            "    const int less = at[k] < 0, a = less ? -1 - at[k] : at[k];",
            "    if (k == 0)",
            *[f"        {x}" for x in self.each([f"v[y + s] = less ? -({product}) : {product};"])],
            "    else if (less)",
            *[f"        {x}" for x in self.each([f"v[y + s] -= {product};"])],
            "    else",
            *[f"        {x}" for x in self.each([f"v[y + s] += {product};"])],
            "}",
        ]

    # -------------------------------------------------------------------------------------------- adjoints

    def backward(self) -> str:
        cases = []
        for k, form in enumerate(self.tables.forms):
            lines = self.shares_of_sum() if form.operation is None else self.shares(form)
            if lines:
                cases += [f"case {k}: {_comment(form)}", *self.for_each_operation(lines, True), "    break;"]
        lines = [
            "/* The adjoints of all operands, from those of the results. */",
            "static void backward(const double *v, double *d, long rows) {",
            f"    long i = {len(self.tables.starts) - 1};",
            "    (void)rows;",
            f"    for (long r = {len(self.tables.runs) - 1}; r >= 0; r--) {{",
            "        const long end = i - RUNS[2 * r + 1];",
            "        switch (RUNS[2 * r]) {",
            *[f"        {line}" for line in cases],
            "        default:",
            "            i = end;",
            "        }\n    }\n}",
        ]
        return "\n".join(lines)

    def shares(self, form: Form) -> list[str]:
        """What an operation passes on to its operands; nothing where it did not select one."""
        operation, n = form.operation, form.n_operands
        assert operation is not None
        y, *operands = slots(1 + n)
        partials = partials_of(operation, y, operands, form.constants)
        if partials is None:
            raise TypeError(
                f"a derivative of {operation.name} is computed by Python code, which has no formula"
            )
        texts = [Text("v[y + s]", ATOM), *self.operands(form)]
        lines: list[str] = []
        for k, partial in enumerate(partials):
            target = f"d[at[{k}] + s] +="
            if not isinstance(partial, Expression):
                if partial == 1.0:
                    lines += self.each([f"{target} d[y + s];"])
                elif partial != 0.0 or not operation.selects:
                    lines += self.each([f"{target} {number(partial)} * d[y + s];"])
                continue
            named, result = self.module.formulas.parts(partial, texts)
            some = [f"const double {name} = {text};" for name, text in named]
            if operation.selects:
                some.append(f"const double p = {result.text};")
                some.append(f"{target} p == 0.0 ? 0.0 : p * d[y + s];")
            else:
                some.append(f"{target} {self.module.formulas.wrap(result, PRODUCT)} * d[y + s];")
            lines += self.each(some) if self.width > 1 or len(some) == 1 else ["{", *self.each(some), "}"]
        return lines

    def shares_of_sum(self) -> list[str]:
        def share(target: str, sign: str, factor: str) -> list[str]:
            return [f"        {x}" for x in self.each([f"d[{target} + s] {sign}= {factor}d[y + s];"])]

        lines = ["const long n = STARTS[i] - STARTS[i - 1];", "for (long k = 0; k < n; k += 2) {"]
        lines += ["    const int less = at[k] < 0, a = less ? -1 - at[k] : at[k], b = at[k + 1];"]
        for condition, sign in (("if (less) {", "-"), ("} else {", "+")):
            lines += [f"    {condition}", *share("a", sign, "v[b + s] * ")]
            lines += [f"        if (b != {ONE}) {{", *[f"    {x}" for x in share("b", sign, "v[a + s] * ")]]
            lines += ["        }"]
        return [*lines, "    }", "}"]

    # ------------------------------------------------------------------------------------------- functions

    def function(self, name: str, areas: int) -> CFunction:
        """One of the functions; with the gradient where there is a second area, for adjoints."""
        tables, width = self.tables, self.width
        is_cost, gradient = tables.result_shape is None, areas == 2
        n = tables.n_slots * width
        arguments = tuple(self.names)
        inner = [*self.reading(), "forward(v, rows);"]
        out = int(tables.outputs[0]) * width
        if is_cost:
            inner += self.each([f"cost += v[{out} + s];"])
        else:
            inner += self.giving(len(tables.outputs))
        if gradient:
            inner += self.gathering(n, out)
        body = ["double *const v = work;"]
        body += [f"double *const d = work + {n};"] * gradient + ["double cost = 0.0;"] * is_cost
        body += self.beginning()
        body += [f"for (long k = 0; k < {tables.n_parameters}; k++) gradient[k] = 0.0;"] * gradient
        body += self.blocks(inner)
        mean = "cost / (double)m" if tables.arguments else "cost"
        body.append(f"return {mean};" if is_cost else "return 0;")
        return CFunction(
            name,
            arguments,
            tuple([(-1, *shape) for _, shape, _ in tables.arguments]),
            tables.n_parameters,
            "gradient" * gradient,
            (False, (tables.n_parameters * gradient,)),
            tables.result_shape,
            bool(tables.arguments),
            areas * n,
            0,
            False,
            body,
        )

    def blocks(self, inner: Sequence[str]) -> list[str]:
        if not self.tables.arguments:
            return ["const long rows = 1;", "(void)m;", *inner]
        return [
            "for (long first = 0; first < m; first += BLOCK) {",
            "    const long rows = m - first < BLOCK ? m - first : BLOCK;",
            *[f"    {line}" for line in inner],
            "}",
        ]

    def beginning(self) -> list[str]:
        """What fills the slots of constants and parameters, for all samples."""
        tables, width = self.tables, self.width
        lines = []
        at = 0
        for n, text in (
            (len(tables.constants), "CONSTANTS[k]"),
            (len(tables.parameters), "theta[PARAMETERS[k]]"),
        ):
            if n:
                lines.append(f"for (long k = 0; k < {n}; k++)")
                lines.append(f"    for (long s = 0; s < {width}; s++) v[{width} * (k + {at}) + s] = {text};")
            at += n
        return lines if len(tables.parameters) else [*lines, "(void)theta;"]

    def reading(self) -> list[str]:
        """What fills the slots of data, for the samples of a block."""
        lines = []
        at = len(self.tables.constants) + len(self.tables.parameters)
        pairs = zip(self.names, self.tables.arguments, strict=True)
        for k, (name, (_, shape, positions)) in enumerate(pairs):
            n = len(positions)
            if n:
                lines.append(f"for (long k = 0; k < {n}; k++)")
                lines.append(
                    f"    for (long s = 0; s < rows; s++) "
                    f"v[{self.width} * (k + {at}) + s] = {name}[{prod(shape)} * (first + s) + INPUT{k}[k]];"
                )
            else:
                lines.append(f"(void){name};")
            at += n
        return lines

    def giving(self, n: int) -> list[str]:
        """What hands out the outputs."""
        row = f"{n} * (first + s) + k" if self.tables.arguments else "k"
        line = self.each([f"outputs[{row}] = v[OUTPUTS[k] + s];"])
        return [f"for (long k = 0; k < {n}; k++) {{", *[f"    {x}" for x in line], "}"]

    def gathering(self, n: int, out: int) -> list[str]:
        """What goes back, and adds what parameters get to the gradient."""
        tables, width = self.tables, self.width
        seed = "1.0 / (double)m" if tables.arguments else "1.0"
        at = len(tables.constants)
        share = f"gradient[PARAMETERS[k]] += d[{width} * (k + {at}) + s];"
        return [
            f"for (long k = 0; k < {n}; k++) d[k] = 0.0;",
            *self.each([f"d[{out} + s] = {seed};"]),
            "backward(v, d, rows);",
            f"for (long k = 0; k < {len(tables.parameters)}; k++) {{",
            *[f"    {x}" for x in self.each([share])],
            "}",
        ]


def _argument_name(name: str) -> str:
    name = identifier(name)
    return f"{name}_" if name in RESERVED or name in ("v", "d", "a", "b", "at", "n", "less", "end") else name


def _table(name: str, numbers: Sequence[Any], kind: str = "int") -> str:
    shown = listed([str(x) for x in numbers] or ["0"])
    return f"static const {kind} {name}[] = {{{shown}}};"


def _comment(form: Form) -> str:
    if form.operation is None:
        return "/* a sum of products */"
    constants = "".join([f", {x!r}" for x in form.constants])
    return f"/* {form.operation.name}{constants} */"
