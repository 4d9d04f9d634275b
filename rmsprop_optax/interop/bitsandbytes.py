"""bitsandbytes' RMSprop, whose states have 32 or 8 bits; the layout is PyTorch's.

A parameter has ``state1``, its mean square: in float32; or, from 4096 entries on where 8 bits were asked for, in codes,
with the map ``qmap1`` of all 256 codes and ``absmax1``, the largest entry of each block of 256 (before version 0.44.0,
of 2048). The file does not say which optimizer wrote it: the single state of Lion, Adagrad or LARS looks the same.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from rmsprop_optax.interop import _pytorch_file, layout, pytorch
from rmsprop_optax.interop.slots import Slots, some

_WRAPPED = "__bnb_optimizer_quant_state__"


def to_pytorch(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    r"""The same in PyTorch's layout, which :mod:`rmsprop_optax.interop.pytorch` reads; with 8 bits, dequantised.

    .. math::
      square\_avg = qmap1_{state1} \cdot absmax1_{block}

    Args:
      state_dict: the optimizer's.

    Raises:
      ValueError: entries are missing or left over, as those of optimizers with two states, or sizes do not fit.

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
    state, groups = pytorch._parts(state_dict)
    return {
        **state_dict,
        "param_groups": [_group(group) for group in groups],
        "state": {position: _square_avg(position, entry) for position, entry in state.items()},
    }


def read(
    state_dict: Mapping[str, Any],
    names: Iterable[str] | Mapping[str, Any] | None = None,
    convert: layout.Convert = dict,
    *,
    initial_value: float | None = None,
) -> Slots:
    """The slots of an optimizer's ``state_dict()``: :func:`to_pytorch`, and PyTorch's :func:`~.pytorch.read`.

    Args:
      state_dict: the optimizer's.
      names: of the parameters in the order in which the optimizer got them, a list or a mapping to arrays or shapes.
      convert: the function that makes the tree of parameters here of ``{name: array}``.
      initial_value: 0, for parameters that no gradient has reached.

    Raises:
      ValueError: as both do.

    Example:
      >>> state = {0: {"step": 5, "state1": np.array([4.0])}}
      >>> group = {"params": [0], "lr": 0.01, "betas": (0.99, 0), "eps": 1e-8, "weight_decay": 0}
      >>> read({"state": state, "param_groups": [group]}, ["fc.weight"])
      Slots(mean_square={'fc.weight': array([4.])}, mean=None, momentum=None, count=5, lr_in_momentum=None)
    """
    return pytorch.read(to_pytorch(state_dict), names, convert, initial_value=initial_value)


def write(
    state_dict: Mapping[str, Any], slots: Slots, names: Mapping[str, Any], convert: layout.Convert = dict
) -> dict[str, Any]:
    """A 32-bit ``state_dict`` with the slots' numbers, for ``optimizer.load_state_dict``.

    An optimizer with 8 bits goes on with it, too, and keeps 32 bits.

    Args:
      state_dict: of the optimizer that is to go on, fresh or not. Its groups stay as they are.
      slots: trees like the one that ``convert`` makes.
      names: name → parameter or shape, in the order in which the optimizer got them.
      convert: the function that makes the tree of ``{name: array}``; it is followed backwards.

    Returns:
      A new dict with new tensors in float32.

    Raises:
      ValueError: there is a mean or a momentum, for which bitsandbytes has no place; names, shapes and ``convert`` do
        not fit; or there is no count.

    Example:
      >>> optimizer.load_state_dict(
      ...     write(optimizer.state_dict(), interop.read(state), dict(model.named_parameters()), convert)
      ... )  # doctest: +SKIP
    """
    torch = _pytorch_file.imported("torch")
    rows = pytorch._rows(to_pytorch({**state_dict, "state": {}}), names)
    state = {
        row.position: {
            "step": int(slots.count),
            "state1": torch.tensor(arrays["square_avg"], dtype=torch.float32),
        }
        for row, arrays in pytorch._written(rows, slots, convert, None)
    }
    return {**state_dict, "state": state}


def _group(group: Mapping[str, Any]) -> dict[str, Any]:
    if "betas" not in group:
        raise ValueError(
            f"a group of bitsandbytes must have betas, got {', '.join(group)}: interop.pytorch reads PyTorch's."
        )
    # The second beta is its momentum, which no kernel uses.
    return {**group, "alpha": group["betas"][0], "momentum": 0, "centered": False}


def _square_avg(position: Any, entry: Mapping[str, Any]) -> dict[str, Any]:
    entry = {key: x for key, x in entry.items() if key != _WRAPPED} | dict(entry.get(_WRAPPED, {}))
    is_coded = pytorch._dtype(entry["state1"]) == np.uint8 if "state1" in entry else False
    asked = {"step", "state1", *(("qmap1", "absmax1") if is_coded else ())}
    wrong = [f"no {key}" for key in sorted(asked - entry.keys())] + [f"a {key}" for key in sorted(entry.keys() - asked)]
    if wrong:
        raise ValueError(
            f"the state of parameter {position} must be {', '.join(sorted(asked))}, got {some(wrong)}: it may be that "
            "of another optimizer; max_unorm, and 8 bits without blocks, have no counterpart here."
        )
    if not is_coded:
        return {"step": entry["step"], "square_avg": entry["state1"]}
    codes, qmap, absmax = (_pytorch_file.to_numpy(entry[key]) for key in ("state1", "qmap1", "absmax1"))
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
    return values.reshape(codes.shape)
