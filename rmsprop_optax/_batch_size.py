"""Convert options to another batch size."""

import math
from typing import Any

from rmsprop_optax import _checks, _numbers

_OF_ARRAY = "to convert an array of learning rates, multiply it by the result for learning_rate=1.0"


def to_batch_size(
    old: int,
    new: int,
    *,
    learning_rate: float | None = None,
    decay: float | None = None,
    eps: float | None = None,
    eps_in_sqrt: bool = True,
    floor: float | None = None,
    initial_scale: float | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
    clip: float | None = None,
) -> dict[str, Any]:
    r"""Return the options for another batch size by RMSprop's square-root rule, with ``k = new / old``.

    .. math::
      learning\_rate &\leftarrow \sqrt{k} \cdot learning\_rate
        \qquad (k^{3/2} \text{ with momentum}) \\
      decay, momentum &\leftarrow 1 - k \cdot (1 - decay), \; 1 - k \cdot (1 - momentum) \\
      eps, floor, clip &\leftarrow (eps, floor, clip) / \sqrt{k}
        \qquad (eps / k \text{ inside the square root}) \\
      initial\_scale &\leftarrow initial\_scale / k, \qquad weight\_decay \leftarrow
        k \cdot weight\_decay \cdot learning\_rate_{old} / learning\_rate_{new}

    Losses over *examples seen* then follow the same curve, as long as the noise of the gradients is larger than their
    mean and the loss is a mean over the batch. The noise shrinks by ``√k``, and so do the gradients and their root mean
    square; both averages keep their length in examples. The momentum buffer is a sum, ``b = momentum·b + x``, which a
    shorter memory divides by ``k``; the further factor ``k`` in the learning rate compensates. L2 is a part of the loss
    and does not change. Divide the lengths of schedules by ``k``. The linear rule of SGD is ``k·learning_rate``.
    Convert the options of a summed loss with :func:`rmsprop_optax.scaling.sum_to_mean` first.

    Args:
      old: the number of examples in a batch that the options were chosen for, at least 1.
      new: the number of examples in a batch now, at least 1.
      learning_rate: at least 0.
      decay: the weight of the old mean square, in [0, 1), before and after.
      eps: at least 0, in squared units of the gradient inside the square root, in its units outside.
      eps_in_sqrt: the place of ``eps``, as in ``optax.rmsprop``.
      floor: the smallest denominator, at least 0.
      initial_scale: the mean square before the first step, at least 0.
      momentum: the weight of the old buffer, in [0, 1), before and after.
      weight_decay: decoupled, times the learning rate, at least 0; needs the ``learning_rate``.
      clip: the largest norm or absolute value of a gradient, at least 0.

    Returns:
      The given options by name, as floats; without ``eps_in_sqrt``, which does not change.

    Raises:
      ValueError: a number is out of its range, or a new decay or momentum would be below 0: the batch is then longer
        than the average, and no decay keeps the rule.
      TypeError: an argument is not a number.

    Example:
      EfficientNet's numbers for 4096 images (0.256, 0.9, 0.9, 0.001), for a batch of 1024:

      >>> found = to_batch_size(4096, 1024, learning_rate=0.256, decay=0.9, momentum=0.9, eps=1e-3)
      >>> {name: round(value, 4) for name, value in found.items()}
      {'learning_rate': 0.032, 'decay': 0.975, 'eps': 0.004, 'momentum': 0.975}

    Source:
      Malladi, Lyu, Panigrahi and Arora, arXiv:2205.10287, the square-root scaling rule of RMSprop (and of Adam, for
      the average of the momentum).
    """
    size = "it is the number of examples in a batch"
    k = _checks.count("new", new, size) / _checks.count("old", old, size)
    _numbers.check_flag("eps_in_sqrt", eps_in_sqrt)
    if weight_decay is not None and learning_rate is None:
        raise ValueError("weight_decay follows the learning rate, got no learning_rate: give both.")
    rate = math.sqrt(k) * (k if momentum else 1)
    factors = {
        "learning_rate": rate,
        "eps": 1 / k if eps_in_sqrt else 1 / math.sqrt(k),
        "floor": 1 / math.sqrt(k),
        "initial_scale": 1 / k,
        "weight_decay": k / rate,
        "clip": 1 / math.sqrt(k),
    }
    given = {
        "learning_rate": learning_rate,
        "decay": decay,
        "eps": eps,
        "floor": floor,
        "initial_scale": initial_scale,
        "momentum": momentum,
        "weight_decay": weight_decay,
        "clip": clip,
    }
    found = {}
    for name, value in given.items():
        if value is not None:
            _checks.static(name, value, _OF_ARRAY if name == "learning_rate" else _numbers.RANGES[name].mend)
            x = _numbers.check(name, value) or 0.0
            found[name] = x * factors[name] if name in factors else _memory(name, x, k)
    return found


def _memory(name: str, value: float, k: float) -> float:
    """The weight of the old average with the same length in examples; 0 is no average and stays."""
    new = 1 - k * (1 - value)
    if value == 0:
        return 0.0
    if new < -1e-12:  # a rounding
        raise ValueError(
            f"a {name} of {value:g} can follow a batch at most {1 / (1 - value):.3g} times as large, got {k:g} times: "
            f"it would be {new:.3g}."
        )
    return max(new, 0.0)
