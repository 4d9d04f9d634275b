"""Frameworks whose rule is that of a dialect, against transcriptions in float64 and published numbers."""

import functools
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import references
from references import rule
from test_dialects import DOUBLE, RECORDED, SINGLE, called, errors_above, stack, trajectories

from rmsprop_optax import create
from rmsprop_optax.dialects import ALIASES, TABLE


@rule()
def stan(p, g, lr, s):
    """`eta` is the learning rate, and the gradient is that of the negative objective."""
    s.v = s.v + g**2 if s.t == 1 else 0.9 * s.v + 0.1 * g**2
    return p + lr / np.sqrt(s.t) * -g / (1.0 + np.sqrt(s.v))


@rule()
def recurrentjs(p, g, lr, s, regc=1e-6, clipval=5.0):
    s.v = s.v * 0.999 + (1.0 - 0.999) * g * g
    g = np.where(g > clipval, clipval, np.where(g < -clipval, -clipval, g))
    return p - lr * g / np.sqrt(s.v + 1e-8) - regc * p


@rule()
def gorgonia(p, g, lr, s):
    s.v = s.v * 0.999 + g**2 * (1 - 0.999)
    return p + (-lr * g) * (1 / np.sqrt(s.v + 1e-8))


@rule()
def matlab(p, g, lr, s):
    s.v = 0.9 * s.v + (1 - 0.9) * g**2
    return p - lr * g / (np.sqrt(s.v) + 1e-8)


@rule()
def cs231n(p, g, lr, s):
    s.v = 0.99 * s.v + (1 - 0.99) * g**2
    return p - lr * g / (np.sqrt(s.v) + 1e-8)


@rule()
def d2l(p, g, lr, s):
    s.v = 0.9 * s.v + (1 - 0.9) * g**2
    return p - lr / np.sqrt(s.v + 1e-6) * g


@rule()
def river(p, g, lr, s):
    s.v = 0.9 * s.v + (1 - 0.9) * g**2
    return p - lr / (s.v + 1e-8) ** 0.5 * g


@rule(v=1.0)
def autograd(p, g, lr, s):
    s.v = s.v * 0.9 + g**2 * (1 - 0.9)
    return p - lr * g / (np.sqrt(s.v) + 1e-8)


@rule()
def convnetjs(p, g, lr, s, l2_decay=2.0**-7):
    g = l2_decay * p + g
    s.v = 0.95 * s.v + (1 - 0.95) * g * g
    return p + -lr / np.sqrt(s.v + 1e-6) * g


@rule()
def smile(p, g, lr, s, momentum=0.75):
    s.v = 0.9 * s.v + (1 - 0.9) * g**2
    s.b = momentum * s.b + lr * -g / np.sqrt(1e-7 + s.v)
    return p + s.b


@rule()
def polaris(p, g, lr, s, momentum=0.75):
    """Its learning rate is negative, and the momentum comes after it."""
    s.v = 0.9 * s.v + (1 - 0.9) * g**2
    s.b = momentum * s.b + -lr * (1 / np.sqrt(s.v + 1e-8) * g)
    return p + s.b


axon = polaris


@rule()
def rubix(p, g, lr, s, decay=0.1):
    s.v = s.v * (1 - decay) + g**2 * decay
    return p - g * lr / np.clip(np.sqrt(s.v), 1e-8, None)


@rule()
def dsstne(p, g, lr, s, mu=0.9):
    """Its gradient ascends."""
    s.v = mu * s.v + (1 - mu) * g * g
    return p + lr * -g * (1 / np.sqrt(np.maximum(0.000000001, s.v)))


@rule()
def nnabla(p, g, lr, s, weight_decay=2.0**-7):
    """`Solver.weight_decay` adds to the gradients before `update`."""
    g = g + weight_decay * p
    s.v = s.v * 0.9 + g * g * (1 - 0.9)
    return p - lr / (np.sqrt(s.v) + 1e-8) * g


@rule()
def nnabla_graves(p, g, lr, s):
    s.v = 0.95 * s.v + (1 - 0.95) * g * g
    s.m = 0.95 * s.m + (1 - 0.95) * g
    s.b = 0.9 * s.b - lr * g / np.sqrt(s.v - s.m * s.m + 1e-4)
    return p + s.b


@rule()
def popart(p, g, lr, s, eps=1e-6, wd=2.0**-7, m=0.75):
    """AdaptiveMode.CenteredRMSProp, WeightDecayMode.L2Regularization."""
    g = g + wd * p
    s.v = 0.99 * s.v + (1 - 0.99) * g**2
    s.m = 0.99 * s.m + (1 - 0.99) * g
    s.b = m * s.b + g / (np.sqrt(s.v - s.m**2) + eps)
    return p - lr * s.b


poptorch = functools.partial(popart, eps=1e-8)


@rule(v=1.0)
def popart_tf(p, g, lr, s, wd=2.0**-7, m=0.75):
    g = g + wd * p
    s.v = 0.99 * s.v + (1 - 0.99) * g**2
    s.m = 0.99 * s.m + (1 - 0.99) * g
    s.b = m * s.b + lr * (g / np.sqrt(s.v - s.m**2 + 1e-6))
    return p - s.b


@rule()
def libtorch(p, g, lr, s, weight_decay=2.0**-7, momentum=0.75):
    g = g + weight_decay * p
    s.v = 0.99 * s.v + (1 - 0.99) * g * g
    s.m = 0.99 * s.m + (1 - 0.99) * g
    s.b = momentum * s.b + g / (np.sqrt(s.v - s.m * s.m) + 1e-8)
    return p - lr * s.b


tch_rs = torch_rb = torchsharp = libtorch
r_torch = functools.partial(libtorch, weight_decay=0)


@rule()
def tff(p, g, lr, s):
    s.v = s.v + (g**2 - s.v) * (1 - 0.9)
    return p - lr * g / (np.sqrt(s.v) + 1e-7)


@rule()
def apple_mps(p, g, lr, s):
    s.v = 0.9 * s.v + (1 - 0.9) * g**2
    return p - lr * g / (np.sqrt(s.v) + 1e-8)


@rule()
def swift_for_tensorflow(p, g, lr, s):
    s.v = s.v * 0.9 + g * g * (1 - 0.9)
    return p + -lr * g / (np.sqrt(s.v) + 1e-8)


@rule()
def bigdl(p, g, lr, s):
    s.v = s.v * 0.99 + (1 - 0.99) * g * g
    return p + -lr * g / (np.sqrt(s.v) + 1e-8)


@rule(v=1.0)
def lingvo(p, g, lr, s):
    """It calls `tf.train.RMSPropOptimizer`."""
    s.v = s.v + (g * g - s.v) * (1 - 0.9)
    s.b = 0.9 * s.b + lr * g / np.sqrt(s.v + 1.0)
    return p - s.b


@rule()
def owl(p, g, lr, s, m=0.75):
    s.v = 0.9 * s.v + (1 - 0.9) * g * g
    s.b = m * s.b + -g * (lr / np.sqrt(s.v + 1e-32))
    return p + s.b


@rule()
def pymc(p, g, lr, s):
    s.v = 0.9 * s.v + (1 - 0.9) * g**2
    return p - lr * g / np.sqrt(s.v + 1e-6)


MOMENTUM, DECAY, CENTERED = {"momentum": 0.75}, {"weight_decay": 2.0**-7}, {"centered": True}
# Options of the transcription in the words of the dialect, where they are not the alias' defaults.
OPTIONS = {
    "convnetjs": DECAY,
    "smile": MOMENTUM,
    "polaris": MOMENTUM,
    "axon": MOMENTUM,
    "nnabla": DECAY,
    **dict.fromkeys(
        ("poptorch", "popart", "popart_tf", "libtorch", "tch-rs", "torch.rb", "torchsharp"),
        MOMENTUM | DECAY | CENTERED,
    ),
    "r torch": MOMENTUM | CENTERED,
    "owl": MOMENTUM,
}
FOREIGN = [name for name, alias in ALIASES.items() if alias.source]


def row(name, case):
    rate = TABLE[ALIASES[name].dialect].arguments.learning_rate
    return called(functools.partial(create, name), rate), lambda params, *_: {"params": params}, case


@functools.cache
def ours():
    """The trajectory of every alias on the stream of the references, compiled in one program."""
    params, gradients, rates = references.stream()
    case = {"params": params, "gradients": gradients, "learning_rates": rates}
    with jax.enable_x64(True):
        runs = trajectories([row(name, case | {"options": OPTIONS.get(name, {})}) for name in FOREIGN])
    return dict(zip(FOREIGN, runs, strict=True))


@pytest.mark.parametrize("name", FOREIGN)
def test_equals_the_transcription_in_float64(name):
    transcription = globals()[re.sub(r"\W", "_", name)]
    params, gradients, rates = references.stream()
    want = {"params": stack([p for p, _ in transcription(params, gradients, rates)])}
    assert errors_above(DOUBLE, ours()[name], want, names=("params",)) == {}


@pytest.mark.parametrize("name", [name for name in FOREIGN if name in RECORDED])
def test_equals_the_recorded_framework(name):
    table = [*references.recorded(name)]
    with jax.enable_x64(True):
        runs = trajectories([row(name, case) for case in table])
    for case, got in zip(table, runs, strict=True):
        params = {leaf: p[[step - 1 for step in case["trace"]]] for leaf, p in got["params"].items()}
        want = stack(list(case["trace"].values()))
        tolerance = DOUBLE if want["bias"].itemsize == 8 else SINGLE
        assert errors_above(tolerance, {"params": params}, {"params": want}, names=("params",)) == {}, case["options"]


@pytest.mark.parametrize("name", FOREIGN)
def test_the_defaults_are_those_of_the_source(name):
    """A default of the alias is one that its dialect has otherwise; the source says a version, a commit or a file."""
    alias = ALIASES[name]
    parameters = inspect.signature(TABLE[alias.dialect].constructor).parameters
    assert all(parameters[word].default != value for word, value in (alias.defaults or {}).items())
    assert ": " in alias.source


def test_the_numbers_of_cs231n():
    """Assignment 2: one step from a given cache; its notebook asks for 1e-7."""
    w, dw, cache = (np.linspace(*ends, 20).reshape(4, 5) for ends in ((-0.4, 0.6), (-0.6, 0.4), (0.6, 0.9)))
    with jax.enable_x64(True):
        tx = create("cs231n", learning_rate=1e-2)
        updates, state = tx.update(jnp.asarray(dw), optax.tree.set(tx.init(w), nu=jnp.asarray(cache)), w)
        updates, nu = jax.device_get((updates, optax.tree.get(state, "nu")))
    next_w = [
        [-0.39223849, -0.34037513, -0.28849239, -0.23659121, -0.18467247],
        [-0.132737, -0.08078555, -0.02881884, 0.02316247, 0.07515774],
        [0.12716641, 0.17918792, 0.23122175, 0.28326742, 0.33532447],
        [0.38739248, 0.43947102, 0.49155973, 0.54365823, 0.59576619],
    ]
    next_cache = [
        [0.5976, 0.6126277, 0.6277108, 0.64284931, 0.65804321],
        [0.67329252, 0.68859723, 0.70395734, 0.71937285, 0.73484377],
        [0.75037008, 0.7659518, 0.78158892, 0.79728144, 0.81302936],
        [0.82883269, 0.84469141, 0.86060554, 0.87657507, 0.8926],
    ]
    np.testing.assert_allclose(w + updates, next_w, atol=5.1e-9)
    np.testing.assert_allclose(nu, next_cache, atol=5.1e-9)


def test_the_numbers_of_d2l():
    """Chapter 12.8 prints "epoch 20, x1: -0.010599, x2: 0.000000"."""
    with jax.enable_x64(True):
        tx, x = create("d2l", learning_rate=0.4), jnp.array([-5.0, -2.0])
        state = tx.init(x)
        for _ in range(20):
            updates, state = tx.update(jnp.array([0.2, 4.0]) * x, state)
            x = x + updates
    assert [f"{value:.6f}" for value in x] == ["-0.010599", "0.000000"]


def test_the_numbers_of_smile():
    """MultilayerPerceptronOptimizerTest: weights of 1 and biases of 0, after a step with gradients of 1."""
    with jax.enable_x64(True):
        tx, p = create("smile(lr=0.1)"), jnp.array([1.0, 0.0])
        updates, _ = tx.update(jnp.array([1.0, 1.0]), tx.init(p))
        np.testing.assert_allclose(p + updates, [0.6837724, -0.3162276], atol=1e-6)
