"""The figure of the README. ``python notebooks/experiments/front.py`` draws it into ``notebooks/data/front.png``.

Each of three short experiments returns the curves of one panel; ``tests/test_front.py`` asserts the panel's statement.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmsprop_optax import dialects, rmsprop
from rmsprop_optax.storage import decoded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PATH = Path(__file__).parents[1] / "data" / "front.png"
# The rules differ in the place of epsilon, the start of the mean square and the place of the learning rate.
RULES = {
    "PyTorch": ("pytorch", {"alpha": 0.9, "eps": 1e-3, "momentum": 0.9}),
    "Keras 3, optax": ("keras", {"rho": 0.9, "epsilon": 1e-3, "momentum": 0.9}),
    "TensorFlow 1, timm": ("tf1", {"decay": 0.9, "epsilon": 1e-3, "momentum": 0.9}),
    "Stable-Baselines3": ("sb3", {"alpha": 0.9, "eps": 1e-3, "momentum": 0.9}),
}


def rules(*, steps: int = 200, gradient: float = 3e-3) -> dict[str, np.ndarray]:
    """Return the steps of a weight under a constant gradient; the rate falls to a tenth after half of the steps."""
    rate = lambda count: jnp.where(count < steps // 2, 0.01, 0.001)  # noqa: E731
    return {
        name: -_updates(dialects.TABLE[dialect].constructor(rate, **options), np.full(steps, gradient))
        for name, (dialect, options) in RULES.items()
    }


def centered(*, steps: int = 400, gradient: float = 10.0, noise: float = 1e-4) -> dict[str, np.ndarray]:
    """Return the updates, in learning rates, of a weight whose gradient is constant to four digits.

    Updates are NaN from the step on at which the weight is NaN.
    """
    gradients = gradient * (1 + noise * np.random.default_rng(0).standard_normal(steps))
    options: dict[str, Any] = {"learning_rate": 1.0, "decay": 0.9, "eps": 1e-8, "centered": True}
    both = {"optax.rmsprop": optax.rmsprop(**options), "rmsprop_optax": dialects.optax(**options)}
    updates = {name: -_updates(tx, gradients) for name, tx in both.items()}
    return {name: np.where(np.isfinite(np.cumsum(u)), u, np.nan) for name, u in updates.items()}


def stalled(*, steps: int = 8000, decay: float = 0.999) -> dict[str, np.ndarray]:
    """Return the mean square of bfloat16 gradients of 1 and −1; its exact limit is 1."""
    signs = np.where(np.arange(steps) % 2, 1.0, -1.0)
    kept = {
        "optax.rmsprop": optax.rmsprop(1.0, decay),
        "rmsprop_optax": rmsprop(1.0, decay),
        "in 16 bits": rmsprop(1.0, decay, storage="bfloat16"),
        "in 8 bits": rmsprop(1.0, decay, storage="uint8"),
    }
    return {name: _mean_squares(tx, signs) for name, tx in kept.items()}


def _updates(tx: optax.GradientTransformation, gradients: np.ndarray) -> np.ndarray:
    return np.asarray(_run(tx, jnp.asarray(gradients, jnp.float32), lambda update, _: update), float)


def _mean_squares(tx: optax.GradientTransformation, gradients: np.ndarray) -> np.ndarray:
    """Return the mean over 256 weights with the same gradients: each has its own random rounding."""
    rows = jnp.asarray(np.broadcast_to(gradients[:, None], (len(gradients), 256)), jnp.bfloat16)
    read = lambda _, state: jnp.mean(decoded(optax.tree.get(state, "nu")).astype(jnp.float32))  # noqa: E731
    return np.asarray(_run(tx, rows, read), float)


def _run(tx: optax.GradientTransformation, gradients: jax.Array, read: Any) -> jax.Array:
    def step(state: Any, g: jax.Array) -> tuple[Any, Any]:
        update, state = tx.update(g, state, g)
        return state, read(update, state)

    return jax.jit(lambda gradients: jax.lax.scan(step, tx.init(gradients[0]), gradients)[1])(gradients)


def figure() -> "Figure":
    """Draw the three panels."""
    from matplotlib.figure import Figure

    blue, red, green, pink = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
    looks = {
        "rmsprop_optax": (blue, "-"),
        "optax.rmsprop": (red, "-"),
        "in 16 bits": (green, "--"),
        "in 8 bits": (pink, ":"),
    }
    picture = Figure(figsize=(11, 3.9), layout="constrained")
    left, middle, right = picture.subplots(1, 3)

    for (name, way), colour, dash in zip(rules().items(), (blue, green, red, pink), ("-", "--", "-", ":"), strict=True):
        left.plot(1 + np.arange(len(way)), way, color=colour, linestyle=dash, linewidth=2, label=name)
    left.set(
        title="The same numbers and gradients,\nfour different RMSprops",
        xlabel="step",
        ylabel="step of a weight",
        yscale="log",
    )

    for name, update in centered().items():
        colour, dash = looks[name]
        steps = 1 + np.arange(len(update))
        middle.plot(steps, update, color=colour, linestyle=dash, linewidth=2, label=name)
        if not np.isfinite(update).all():
            end = int(np.argmin(np.isfinite(update)))
            middle.plot(end, update[end - 1], "X", color=colour, markersize=10)
            place = {"xytext": (-10, -4), "textcoords": "offset points", "ha": "right"}
            middle.annotate("NaN", (end, update[end - 1]), color=colour, **place)
    middle.set(
        title="Centered, gradient constant to 4 digits:\noptax's variance becomes negative",
        xlabel="step",
        ylabel="step (learning rates)",
        yscale="log",
    )

    for name, nu in stalled().items():
        colour, dash = looks[name]
        right.plot(1 + np.arange(len(nu)), nu, color=colour, linestyle=dash, linewidth=2, label=name)
    right.set(
        title="bfloat16 parameters, decay 0.999:\na mean square of 1 stalls at 0.5",
        xlabel="step",
        ylabel="mean square",
        ylim=(0, 1.15),
    )
    for axes in (left, middle, right):
        axes.title.set_fontsize("medium")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize="small", loc="lower right")
    return picture


if __name__ == "__main__":
    figure().savefig(PATH, dpi=100)
