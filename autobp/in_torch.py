"""Networks and compiled costs in PyTorch: as a torch module, as a function that its autograd knows."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from autobp.activations import is_activation
from autobp.backends.array_api import ArrayModule
from autobp.nn import MLP

if TYPE_CHECKING:
    import torch

    from autobp.compiler.step import Step


def to_torch(net: MLP) -> torch.nn.Sequential:
    """A network as a ``torch.nn.Sequential`` of float64 with the same weights, of rows (m, inputs).

    Its modules are ``Linear`` and, for each activation that is not linear, PyTorch's own or, where an
    operation has none, one that is written from the operation's rule. ``.float()`` makes it one of float32.

    Raises:
        TypeError: an activation is a function of one's own, or is computed by Python code.
        ImportError: PyTorch is not installed.
    """
    torch = _torch()
    modules: list[Any] = []
    for layer in net.layers:
        W = np.array([[w.data for w in neuron.w] for neuron in layer.neurons])
        biases = [neuron.b for neuron in layer.neurons if neuron.b is not None]
        linear = torch.nn.Linear(W.shape[1], W.shape[0], bias=bool(biases), dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W))
            if biases:
                linear.bias.copy_(torch.tensor([b.data for b in biases], dtype=torch.float64))
        modules.append(linear)
        if layer.activation not in ("linear", "identity"):
            modules.append(_activation(layer.activation))
    return torch.nn.Sequential(*modules)


def _activation(name: Any) -> Any:
    torch = _torch()
    known = {
        "sigmoid": torch.nn.Sigmoid,
        "tanh": torch.nn.Tanh,
        "relu": torch.nn.ReLU,
        "leaky_relu": torch.nn.LeakyReLU,
        "elu": torch.nn.ELU,
        "gelu": torch.nn.GELU,
        "silu": torch.nn.SiLU,
        "softplus": torch.nn.Softplus,
    }
    if name in known:
        return known[name]()
    if name == "softmax":
        return torch.nn.Softmax(dim=-1)
    if not is_activation(name):
        raise TypeError(f"an activation that is a function, {name!r}, has no module in PyTorch; use a name")
    return _module_of(name)


def _module_of(name: str) -> Any:
    """An operation of the table as a module, from its rule."""
    import array_api_compat.torch as xp

    from autobp.compiler.other_arrays import Place, namespace_of
    from autobp.ops import lookup

    torch, op = _torch(), lookup(name)
    module = ArrayModule()
    module.operation(name, 1 + len(op.constants))
    text = module.as_text()

    class Operation(torch.nn.Module):  # type: ignore[name-defined,misc]
        def forward(self, x: Any) -> Any:
            functions = namespace_of(text, Place(xp, "torch", x.dtype, x.device))
            return functions[name](x, *op.defaults)

        def extra_repr(self) -> str:
            return name

    return Operation()


def torch_cost(step: Step) -> Callable[..., torch.Tensor]:
    """A compiled cost as a function of tensors, ``cost(theta, *arguments)``, that PyTorch differentiates.

    Its derivative by theta is the compiled gradient, computed along with the cost, so that ``backward()`` has
    nothing left to do. Where a derivative of that is to follow (``create_graph=True``, ``torch.func``),
    PyTorch differentiates the program instead, to any order. Tensors are of float32 or float64, anywhere.

    Raises:
        TypeError: (at a call) the step gives outputs, or theta is no tensor.
        ValueError: (at a call) an argument other than theta requires a gradient: ``step.value`` gives a
            tensor that PyTorch differentiates by everything, step by step.
        ImportError: PyTorch or array-api-compat is not installed.
    """
    function = _cost_function()

    def cost(theta: torch.Tensor, *arguments: torch.Tensor) -> torch.Tensor:
        if not isinstance(theta, _torch().Tensor):
            raise TypeError(f"theta must be a tensor of PyTorch; got {type(theta).__qualname__}")
        for number, x in enumerate(arguments, start=1):
            if getattr(x, "requires_grad", False):
                raise ValueError(
                    f"argument {number} requires a gradient, and this cost has one by theta alone; "
                    "step.value(theta, …) can be differentiated by every argument"
                )
        made: torch.Tensor
        try:
            made = function.apply(step, theta, *arguments)
        except RuntimeError as error:
            if "setup_context" not in str(error):
                raise
            # torch.func transforms this call, which it cannot do with functions like CompiledCost
            made = step.value(theta, *arguments)
        return made

    return cost


@cache
def _cost_function() -> Any:
    torch = _torch()

    class CompiledCost(torch.autograd.Function):  # type: ignore[name-defined,misc]
        @staticmethod
        def forward(context: Any, step: Step, theta: Any, *arguments: Any) -> Any:
            found = step(theta.detach(), *arguments)
            if not isinstance(found, tuple):
                raise TypeError("torch_cost is for the step of a cost, and this one gives outputs")
            context.step = step
            context.save_for_backward(found[1], theta, *arguments)
            return found[0]

        @staticmethod
        def backward(context: Any, of_cost: Any) -> Any:
            gradient, theta, *arguments = context.saved_tensors
            if torch.is_grad_enabled():  # a derivative of this one follows, which the number alone would lose
                gradient = torch.func.grad(context.step.value)(theta, *arguments)
            return None, of_cost * gradient, *[None] * len(arguments)

    return CompiledCost


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise ImportError("PyTorch is needed: pip install torch") from error
    return torch
