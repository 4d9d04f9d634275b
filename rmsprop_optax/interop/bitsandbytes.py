"""bitsandbytes' RMSprop, in 32 or 8 bits; its ``state_dict()`` has PyTorch's layout.

``state1`` is the mean square of a parameter: in float32 or, for a parameter of at least 4096 entries in an 8-bit
optimizer, in codes. ``qmap1`` maps the 256 codes to numbers, and ``absmax1`` holds the largest entry of each block of
256 entries (2048 before version 0.44.0). The file does not name its optimizer: Lion, Adagrad and LARS have the same
entries.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rmsprop_optax._paths import some
from rmsprop_optax.interop import layout, pytorch
from rmsprop_optax.interop._plausible import count_of
from rmsprop_optax.interop._pytorch_file import to_numpy
from rmsprop_optax.interop._pytorch_rows import parts, rows_of, written
from rmsprop_optax.interop._pytorch_search import dtype_of
from rmsprop_optax.interop._shared import imported
from rmsprop_optax.interop.slots import Slots

_WRAPPED = "__bnb_optimizer_quant_state__"


def to_pytorch(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    r"""The ``state_dict`` in PyTorch's form, which :mod:`rmsprop_optax.interop.pytorch` reads; 8 bits are dequantised.

    .. math::
      square\_avg = qmap1_{state1} \cdot absmax1_{block}

    Args:
      state_dict: the optimizer's ``state_dict()``.

    Raises:
      ValueError: entries are missing or left over, such as the second state of another optimizer, or sizes do not fit.

    Example:
      >>> codes = {"state1": np.array([0, 255, 2], np.uint8), "qmap1": np.arange(256) / 255, "absmax1": np.array([3.0])}
      >>> group = {"params": [0], "lr": 0.01, "betas": (0.99, 0), "eps": 1e-8, "weight_decay": 0}
      >>> found = to_pytorch({"state": {0: {"step": 5, **codes}}, "param_groups": [group]})
      >>> found["state"][0]["square_avg"].round(4).tolist()
      [0.0, 3.0, 0.0235]
      >>> pytorch.calls(found, dialect="bitsandbytes")
      ['dialects.bitsandbytes(lr=0.01, alpha=0.99, eps=1e-08, weight_decay=0, momentum=0, centered=False)']

    Source:
      bitsandbytes-foundation/bitsandbytes 0.50.2: bitsandbytes/optim/optimizer.py, bitsandbytes/functional.py.
    """
    state, groups = parts(state_dict)
    return {
        **state_dict,
        "param_groups": [_group(group) for group in groups],
        "state": {position: _square_avg(position, entry) for position, entry in state.items()},
    }


def read(
    state_dict: Mapping[str, Any],
    names: layout.Names | None = None,
    convert: layout.Convert = dict,
    *,
    initial_scale: float | None = None,
) -> Slots:
    """The slots of an optimizer's ``state_dict()``, in 32 or 8 bits.

    Args:
      state_dict: the optimizer's ``state_dict()``.
      names: the names of the parameters in the optimizer's order, a list or a mapping to arrays or shapes, which are
        compared.
      convert: the function that makes the tree of parameters from ``{name: array}``.
      initial_scale: the mean square before the first step: 0, needed for parameters that no gradient has reached.

    Raises:
      ValueError: entries are missing or left over, or names, shapes and ``convert`` do not fit. The error names them.

    Example:
      >>> state = {0: {"step": 5, "state1": np.array([4.0])}}
      >>> group = {"params": [0], "lr": 0.01, "betas": (0.99, 0), "eps": 1e-8, "weight_decay": 0}
      >>> read({"state": state, "param_groups": [group]}, ["fc.weight"])
      Slots(mean_square={'fc.weight': array([4.])}, mean=None, momentum=None, count=5, lr_in_momentum=None, gain=None)
    """
    return pytorch.read(to_pytorch(state_dict), names, convert, initial_scale=initial_scale)


def write(
    state_dict: Mapping[str, Any], slots: Slots, names: Mapping[str, npt.ArrayLike], convert: layout.Convert = dict
) -> dict[str, Any]:
    """A 32-bit ``state_dict`` with the numbers of the slots, for ``optimizer.load_state_dict``; needs PyTorch.

    An 8-bit optimizer also loads this dict, and continues in 32 bits.

    Args:
      state_dict: of the optimizer that continues the run, new or used. Its groups are not changed.
      slots: trees of the structure that ``convert`` returns.
      names: the parameters, or their shapes, by name, in the optimizer's order.
      convert: the function that makes the tree from ``{name: array}``; it is inverted.

    Returns:
      A new dict with new tensors in float32.

    Raises:
      ValueError: the slots have a mean or a momentum, which bitsandbytes does not keep, or have no count; or names,
        shapes and ``convert`` do not fit.

    Example:
      >>> optimizer.load_state_dict(
      ...     write(optimizer.state_dict(), interop.read(state), dict(model.named_parameters()), convert)
      ... )  # doctest: +SKIP
    """
    torch = imported("torch", "interop.bitsandbytes.write")
    rows = [r._replace(dtype=np.dtype("f4")) for r in rows_of(to_pytorch({**state_dict, "state": {}}), names)]
    kept = written(rows, slots, convert, None)
    count = count_of(slots.count)
    state = {row.position: {"step": count, "state1": torch.tensor(arrays["square_avg"])} for row, arrays in kept}
    return {**state_dict, "state": state}


def _group(group: Mapping[str, Any]) -> dict[str, Any]:
    betas = group.get("betas")
    if not isinstance(betas, Sequence) or not betas:
        got = repr(betas) if "betas" in group else ", ".join(group)
        raise ValueError(f"a group of bitsandbytes must have betas, got {got}: read PyTorch's with interop.pytorch.")
    # The second beta is called momentum, and no kernel uses it.
    return {**group, "alpha": betas[0], "momentum": 0, "centered": False}


def _square_avg(position: Any, entry: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of a parameter in PyTorch's form."""
    entry = {key: x for key, x in entry.items() if key != _WRAPPED} | dict(entry.get(_WRAPPED, {}))
    is_coded = dtype_of(entry["state1"]) == np.uint8 if "state1" in entry else False
    asked = {"step", "state1", *(("qmap1", "absmax1") if is_coded else ())}
    wrong = [f"no {key}" for key in sorted(asked - entry.keys())] + [f"a {key}" for key in sorted(entry.keys() - asked)]
    if wrong:
        raise ValueError(
            f"the state of parameter {position} must be {', '.join(sorted(asked))}, got {some(wrong)}: the state may "
            "be that of another optimizer; max_unorm, and 8 bits without blocks, have no counterpart here."
        )
    if not is_coded:
        return {"step": entry["step"], "square_avg": entry["state1"]}
    codes, qmap, absmax = (to_numpy(entry[key]) for key in ("state1", "qmap1", "absmax1"))
    return {"step": entry["step"], "square_avg": _dequantised(position, codes, qmap, absmax)}


def _dequantised(position: Any, codes: np.ndarray, qmap: np.ndarray, absmax: np.ndarray) -> np.ndarray:
    size = next((size for size in (256, 2048) if -(-codes.size // size) == absmax.size), None)
    if size is None or qmap.shape != (256,):
        raise ValueError(
            f"parameter {position} must have a map of 256 codes and a maximum for each block of 256 or 2048 entries, "
            f"got {qmap.size} codes and {absmax.size} maxima for {codes.size} entries."
        )
    values = qmap[codes.reshape(-1)]
    whole = codes.size - codes.size % size
    values[:whole].reshape(-1, size)[...] *= absmax[: whole // size, None]
    values[whole:] *= absmax[-1:]
    square_avg: np.ndarray = values.reshape(codes.shape)
    return square_avg
