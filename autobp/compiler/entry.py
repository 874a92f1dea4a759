"""compile: from a function of Values, or a graph, to a step that runs as matrices."""

from __future__ import annotations

import inspect
from collections.abc import Callable, KeysView, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, overload

from autobp.compiler.arrays import floats
from autobp.compiler.machine_code import BACKENDS, CALLS, Backend, Wanted
from autobp.compiler.pipeline import Signature
from autobp.compiler.recording import collected, flatten, no_garbage_collection, record, shape_of
from autobp.compiler.step import Step, executable_of
from autobp.compiler.tabled import executable_for
from autobp.engine import Value
from autobp.ir import Floats
from autobp.ir.reserved import is_free

if TYPE_CHECKING:
    from autobp.typed import Output


@overload
def compile(
    function: Callable[..., Output],
    parameters: Sequence[Value],
    *,
    inputs: None = None,
    example: Sequence[Any] | None = None,
    check: bool = False,
    backend: Backend = "auto",
    calls: int | None = None,
) -> Step: ...


@overload
def compile(
    function: Callable[..., Value] | Value,
    parameters: Sequence[Value],
    *,
    inputs: Sequence[Any] | None = None,
    example: Sequence[Any] | None = None,
    check: bool = False,
    backend: Backend = "auto",
    calls: int | None = None,
) -> Step[tuple[float, Floats]]: ...


@overload
def compile(
    function: Callable[..., Sequence[Any]] | Sequence[Any],
    parameters: Sequence[Value],
    *,
    inputs: Sequence[Any] | None = None,
    example: Sequence[Any] | None = None,
    check: bool = False,
    backend: Backend = "auto",
    calls: int | None = None,
) -> Step[Floats]: ...


def compile(
    function: Callable[..., Any] | Value | Sequence[Any],
    parameters: Sequence[Value],
    *,
    inputs: Sequence[Any] | None = None,
    example: Sequence[Any] | None = None,
    check: bool = False,
    backend: Backend = "auto",
    calls: int | None = None,
) -> Step:
    """Compile a function of Values, or a graph that exists, to a program of matrix operations: a step.

    Args:
        function: of one sample: ``loss(x, y)``, each argument a scalar or a nested list of scalars, gives a
            Value (the cost), or a nested list of Values (outputs). Or the Value, the graph, itself.
        parameters: the leaves that theta holds, in this order.
        inputs: for a graph that exists, its arguments: each a leaf or a nested list of leaves.
        example: arguments of one sample, (x, y), to trace the function with at once.
        check: name the first statement whose result is not finite (FloatingPointError).
        backend: what runs the step: "numpy"; "c", machine code from C, which the system's compiler builds;
            or "auto", machine code where it can be had and pays, for as many rows as the first call has, and
            NumPy elsewhere. ``step.backend`` says which, and why.
        calls: how many there will be, 10,000 if nobody says: machine code pays where it saves more time in
            them than its building takes.

    Returns:
        a Step. A function is traced at the first call, once for each shape of its arguments.

    Raises:
        TypeError: a parameter is no leaf, or the function reads data that it depends on, or has arguments
            that cannot be samples.
        ValueError: two traces of the function differ; leaves are named twice; there is no such backend.
        NoMachineCode: the backend is "c", and there is no machine code; a RuntimeError that says why.

    Decisions that Python made while an existing graph was built (``if v.data > 0``) cannot be seen in it, and
    hold for whatever the step computes; from a function they raise.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(map(repr, BACKENDS))}; got {backend!r}")
    parameters = _checked(parameters)
    wanted = Wanted(backend, calls=CALLS if calls is None else calls)
    if callable(function):
        if inputs is not None:
            raise TypeError("inputs= is for a graph that exists; a function has its arguments")
        return _from_function(function, parameters, example, check, wanted)
    if example is not None:
        raise TypeError("example= is for a function; a graph that exists is traced already")
    if isinstance(inputs, Value):
        raise TypeError(f"inputs must be a list of arguments, inputs=[x]; got {inputs!r}")
    if inputs is not None:
        _in_order("inputs", inputs)
    return _from_graph(function, parameters, [] if inputs is None else list(inputs), check, wanted)


def _checked(parameters: Sequence[Value]) -> list[Value]:
    """The parameters as a list; TypeError where one is no leaf, ValueError where one is there twice."""
    if isinstance(parameters, Value) or not hasattr(parameters, "__iter__"):
        raise TypeError(f"parameters must be a list of leaves, such as net.parameters(); got {parameters!r}")
    _in_order("parameters", parameters)
    parameters = list(parameters)
    for parameter in parameters:
        if not isinstance(parameter, Value) or parameter.operation is not None:
            raise TypeError(f"parameters must be leaves, Values that were not computed; got {parameter!r}")
    if len({id(parameter) for parameter in parameters}) < len(parameters):
        raise ValueError("a parameter is named twice")
    return parameters


def _in_order(name: str, x: Any) -> None:
    """TypeError for what would be taken in any order, as a set, or by its keys."""
    if isinstance(x, Set | Mapping) and not isinstance(x, KeysView):
        cure = ", list(d.values())" if isinstance(x, Mapping) else " of your own order"
        raise TypeError(f"{name} must be in an order, which a {type(x).__name__} has not; give a list{cure}")


def _from_function(
    function: Callable[..., Any],
    parameters: list[Value],
    example: Sequence[Any] | None,
    check: bool,
    wanted: Wanted,
) -> Step:
    is_model = callable(getattr(function, "parameters", None))
    traced = _listed(function) if is_model else function
    names = _argument_names(function)
    if example is None:
        return Step(traced, parameters, names, check, None, wanted)
    _in_order("example", example)
    if len(example) != len(names):
        raise TypeError(f"example has {len(example)} arguments; the function takes {len(names)}")
    samples = [floats(f"{name} of the example", x) for name, x in zip(names, example, strict=True)]
    shapes = tuple([sample.shape for sample in samples])
    executable = executable_of(traced, parameters, names, samples, check, wanted)
    return Step(traced, parameters, names, check, (shapes, executable), wanted)


def _listed(model: Callable[..., Any]) -> Callable[..., Any]:
    """The model with its outputs as a list, one output too: predictions, not a cost to be averaged."""

    def outputs(*arguments: Any) -> Any:
        made = model(*arguments)
        return [made] if isinstance(made, Value) else made

    return outputs


def _from_graph(
    value: Any, parameters: Sequence[Value], inputs: Sequence[Any], check: bool, wanted: Wanted
) -> Step:
    leaves = {id(parameter): (0, i) for i, parameter in enumerate(parameters)}
    shapes = []
    if isinstance(value, str | bytes | Mapping):
        raise TypeError(f"compile needs a function, a Value, or a nested list of Values; got {value!r}")
    value, inputs = collected(value), [collected(argument) for argument in inputs]
    for role, argument in enumerate(inputs, start=1):
        try:
            shapes.append(shape_of(argument))
        except ValueError as error:
            raise ValueError(f"input {role} is ragged: its rows have different lengths") from error
        for i, leaf in enumerate(flatten(argument)):
            if not isinstance(leaf, Value) or leaf.operation is not None:
                raise TypeError(f"inputs must be leaves, Values that were not computed; got {leaf!r}")
            if id(leaf) in leaves:
                raise ValueError(f"{leaf!r} is named twice among parameters and inputs")
            leaves[id(leaf)] = (role, i)
    outputs = list(flatten(value))
    if not outputs or not all(isinstance(output, Value) for output in outputs):
        raise TypeError(f"compile needs a function, a Value, or a nested list of Values; got {value!r}")
    names = [f"x{i + 1}" for i in range(len(inputs))] if len(inputs) > 1 else ["x"] * len(inputs)
    labels = [parameter.label for parameter in parameters]
    result_shape = None if isinstance(value, Value) else shape_of(value)
    signature = Signature(labels, names, shapes, result_shape)
    with no_garbage_collection():
        executable = executable_for(record(outputs, leaves), signature, check, wanted)
    return Step(None, parameters, names, check, (tuple(shapes), executable), wanted)


def _argument_names(function: Callable[..., Any]) -> list[str]:
    """What the program calls the arguments of a function that has no defaults for them; TypeError for ``*x``.

    A name that means something in every program, as m does, gets a "_" after it; two where there is an m_.
    """
    told = getattr(function, "call_arguments", None)  # of an nn.Module
    names: list[str] | None = told() if callable(told) else None
    if names is None:
        names = _names_in_signature(function)
    found: list[str] = []
    for name in names:
        own = name
        while not is_free(name) or name in found or (name != own and name in names):
            name += "_"
        found.append(name)
    return found


def _names_in_signature(function: Callable[..., Any]) -> list[str]:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise TypeError(f"the arguments of {function!r} cannot be seen; wrap it in a def") from error
    names = []
    for name, parameter in signature.parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"{function!r} takes *{name}: compile needs a fixed number of arguments")
        if parameter.default is parameter.empty:
            if parameter.kind is parameter.KEYWORD_ONLY:
                raise TypeError(f"{name} can be given by name only; compile passes samples by position")
            names.append(name)
    return names
