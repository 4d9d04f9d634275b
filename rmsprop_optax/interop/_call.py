"""Function calls as data, to execute or to print as Python code."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import optax

from rmsprop_optax import dialects


class Call(NamedTuple):
    """A function and its arguments.

    Attributes:
      function: ``"dialects.keras"``, or another function of :mod:`rmsprop_optax.dialects` or of ``optax``.
      arguments: values by name. A value may be a call, or a list with calls in it.
    """

    function: str
    arguments: Mapping[str, Any]


def made(x: Any) -> Any:
    """Execute a call and return its value; return any other value unchanged.

    Example:
      >>> made(Call("optax.constant_schedule", {"value": 0.5}))(0)
      0.5
    """
    if isinstance(x, Call):
        module, name = x.function.split(".")
        function = getattr({"dialects": dialects, "optax": optax}[module], name)
        return function(**{key: made(value) for key, value in x.arguments.items()})
    return [made(value) for value in x] if isinstance(x, list) else x


def text(x: Any) -> str:
    """Return a call as Python code, with the names of functions that the user passed.

    Example:
      >>> text(Call("dialects.keras", {"learning_rate": Call("optax.constant_schedule", {"value": 0.5}), "rho": 0.9}))
      'dialects.keras(learning_rate=optax.constant_schedule(value=0.5), rho=0.9)'
    """
    if isinstance(x, Call):
        return f"{x.function}({', '.join(f'{key}={text(value)}' for key, value in x.arguments.items())})"
    if isinstance(x, list):
        return f"[{', '.join(map(text, x))}]"
    if callable(x):
        name = getattr(x, "__name__", "")
        return name if name.isidentifier() else "schedule"
    return repr(x)
