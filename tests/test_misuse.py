"""What a person gets wrong, and what they are told: what must hold, what came, the likely mend."""

import contextlib
import inspect
import io
from functools import partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import rmsprop_optax
from rmsprop_optax import (  # noqa: F401 (names in the calls of WRITTEN)
    create,
    dialects,
    differences,
    experimental,
    float32_updates,
    interop,
    measure,
    names,
    nesterov_eval_params,
    plan,
    plots,
    recipes,
    rmsprop,
    scale_by_gains,
    scale_by_rms,
    scale_by_stddev,
    scaling,
    sharding,
    storage,
    with_remainder,
    with_storage,
)
from rmsprop_optax.cli import main
from rmsprop_optax.demo import scale  # noqa: F401
from rmsprop_optax.interop import Slots, bitsandbytes, convert, keras, layers, layout, pytorch, tensorflow  # noqa: F401
from rmsprop_optax.measure import effective_rates, measured, report, scalars  # noqa: F401
from rmsprop_optax.sharding import divided, state_shardings  # noqa: F401

one, three = jnp.ones(1), jnp.ones(3)
PARAMS = {"w": jnp.ones((2, 3)), "b": jnp.ones(3)}
OTHER = {"a": one}


def update(tx=None, params=PARAMS, *, init=None, state=None, grads=PARAMS, **options):
    """One step of ``rmsprop(0.1, **options)``, or of ``tx``."""
    tx = tx or rmsprop(0.1, **options)
    state = tx.init(params if init is None else init) if state is None else state
    return tx.update(grads, state, params)


def across_x64():
    """A state made where float64 is on goes on where it is off."""
    with jax.enable_x64(True):
        state = rmsprop(0.1, momentum=0.9).init(jnp.ones(3, jnp.float64))
    return rmsprop(0.1, momentum=0.9).update(three, state)


SHORT = {"w": jnp.ones(2, "bfloat16")}
TX, STATE = rmsprop(0.1), rmsprop(0.1).init(PARAMS)
MOMENTUM = rmsprop(0.1, momentum=0.9).init(PARAMS)
SLOTS = interop.read(STATE)
AFTER = interop.read(MOMENTUM)._replace(lr_in_momentum=False)
OF_OPTAX, CORRECTED = (optax.rmsprop(0.1, bias_correction=on).init(PARAMS) for on in (False, True))
MESH = jax.make_mesh((8,), ("data",))
SHARDED = jax.device_put({"w": jnp.ones((8, 8))}, NamedSharding(MESH, P()))
GROUP = {"params": [0], "lr": 0.1, "alpha": 0.99, "eps": 1e-8, "momentum": 0, "centered": False, "capturable": False}
OLD = ("params", "lr", "alpha", "eps")
TWO = {"a": (2,), "b": (2,)}
GROUPS = {"state": {}, "param_groups": [GROUP, GROUP | {"params": [1], "lr": 0.2}]}
FRESH = {"state": {}, "param_groups": [GROUP]}
TF = {"w": np.ones(2), "w/RMSProp": np.ones(2), "w/RMSProp_1": np.ones(2), "global_step": np.int64(3)}
KERAS = {"0": np.int32(3), "1": np.float32(0.1), "2": np.ones(2)}
W = np.ones((4, 4), np.float32)
LAYER, MOVED = {"step": 1, "gradient/w": 1.0}, {"dialect": "a", "weight": "w", "movement": [1.0, 2.0]}
LABELS = {"title": "", "xlabel": "", "ylabel": ""}
PATH = np.ones((3, 2))


def slots_of(change):
    """The slots of a state with another mean square."""
    return SLOTS._replace(mean_square=jax.tree.map(change, PARAMS))


def torch(step=3.0, params=(0,), entry=None, **options):
    """PyTorch's ``state_dict`` of one parameter of two entries."""
    entry = {"step": step, "square_avg": np.ones(2, np.float32)} | (entry or {})
    return {"state": {0: entry}, "param_groups": [GROUP | {"params": list(params)} | options]}


def bnb(**entry):
    """The ``state_dict`` of bitsandbytes, of one parameter."""
    group = {"params": [0], "lr": 0.01, "betas": (0.99, 0), "eps": 1e-8, "weight_decay": 0}
    return {"state": {0: {"step": 5, "state1": one} | entry}, "param_groups": [group]}


class PrintedError(ValueError):
    """What the command line prints."""


def command(line):
    """Run a wrong command line; what it prints is one line, raised as an error."""
    with contextlib.redirect_stderr(io.StringIO()) as printed, pytest.raises(SystemExit, match="2"):
        main(line.split())
    assert printed.getvalue().count("\n") == 1
    raise PrintedError(printed.getvalue())


# What the person does → the call, the type of the error, and its message with what came.
NUMBERS = {
    "a decay above 1": (partial(rmsprop, 0.1, 1.5), ValueError, r"decay must be in \[0, 1\), got decay=1.5: .*0\.999"),
    "a decay of 1": (partial(scale_by_rms, 1.0), ValueError, r"decay must be in \[0, 1\), got decay=1.0"),
    "a negative decay": (partial(scale_by_rms, -0.1), ValueError, "got decay=-0.1: it is the weight of the old"),
    "a decay that is nan": (partial(scale_by_rms, float("nan")), ValueError, "got decay=nan"),
    "a decay in percent": (partial(rmsprop, 0.1, 99), ValueError, "got decay=99: .* 0.9 to 0.999 are usual"),
    "a dialect's decay in percent": (partial(dialects.pytorch, alpha=99), ValueError, r"alpha must .* got alpha=99: "),
    "no decay": (partial(rmsprop, 0.1, None), TypeError, "decay must be a number, got decay=None"),
    "a scheduled decay": (partial(rmsprop, 0.1, lambda t: 0.9), TypeError, "got the callable .*inject_hyperparams"),
    "a decay in bfloat16": (
        partial(rmsprop, 0.1, jnp.bfloat16(0.999)),
        TypeError,
        "decay must be in float32 or wider, got bfloat16.*hyperparam_dtype",
    ),
    "a decay for each": (partial(rmsprop, 0.1, three), ValueError, r"scalar, got an array of shape \(3,\).*partition"),
    "an eps that vanishes in float16": (
        partial(rmsprop, 0.1, eps=jnp.float16(1e-8)),
        TypeError,
        "eps must be in float32 or wider, got float16",
    ),
    "injected numbers for float16 parameters": (
        partial(update, optax.inject_hyperparams(rmsprop)(0.1), jax.tree.map(lambda x: x.astype("float16"), PARAMS)),
        TypeError,
        "must be in float32 or wider, got float16: .*hyperparam_dtype=jnp.float32",
    ),
    "a negative eps": (
        partial(rmsprop, 0.1, eps=-1e-8),
        ValueError,
        "eps must be finite and at least 0, got eps=-1e-08",
    ),
    "an infinite eps": (partial(rmsprop, 0.1, eps=float("inf")), ValueError, "eps must .* got eps=inf"),
    "eps as text": (partial(rmsprop, 0.1, eps="1e-8"), TypeError, "eps must be a number, got eps='1e-8': "),
    "eps as a flag": (partial(rmsprop, 0.1, eps=True), TypeError, "eps must be a number, got eps=True"),
    "a dialect's negative eps": (partial(dialects.keras, epsilon=-1), ValueError, "epsilon must .* got epsilon=-1"),
    "a negative start": (partial(rmsprop, 0.1, initial_scale=-1.0), ValueError, "initial_scale must .* got .*=-1.0"),
    "a negative floor": (partial(rmsprop, 0.1, floor=-1.0), ValueError, "floor must .* got floor=-1.0: .* None"),
    "a momentum of 1": (partial(rmsprop, 0.1, momentum=1.0), ValueError, r"momentum must be in \[0, 1\), got .*=1.0"),
    "a negative momentum": (partial(rmsprop, 0.1, momentum=-0.9), ValueError, "got momentum=-0.9: .* no buffer"),
    "a negative rate": (partial(rmsprop, -0.1), ValueError, r"learning_rate must .*=-0.1: .* optax.scale\(-1.0\)"),
    "no rate": (partial(rmsprop, None), TypeError, "learning_rate must be a number, got learning_rate=None"),
    "a rate as text": (partial(rmsprop, "0.1"), TypeError, "got learning_rate='0.1': .* or a schedule"),
    "rates in a list": (partial(rmsprop, [0.1, 0.2]), TypeError, r"must be a number, got learning_rate=\[0.1, 0.2\]"),
    "a rate for each parameter": (partial(rmsprop, {"w": 0.1}), TypeError, "must be a number, got .*{'w': 0.1}"),
    "an array of rates": (
        partial(rmsprop, jnp.ones(2)),
        ValueError,
        r"scalar, got an array of shape \(2,\).*partition",
    ),
    "an optimizer for a rate": (partial(rmsprop, optax.adam(0.1)), TypeError, "must be a number, got .*Gradient"),
    "a negative l2": (partial(rmsprop, 0.1, l2=-1.0), ValueError, "l2 must .* got l2=-1.0: .* 0 or None turns it off"),
    "a negative decay of weights": (partial(rmsprop, 0.1, weight_decay=-1.0), ValueError, "got weight_decay=-1.0"),
    "a dialect's negative penalty": (partial(dialects.pytorch, weight_decay=-1), ValueError, "got weight_decay=-1"),
    "a word for a bool": (partial(rmsprop, 0.1, centered="false"), TypeError, "True or False, got centered='false'"),
    "a number for a bool": (partial(rmsprop, 0.1, centered=1), TypeError, "True or False, got centered=1"),
    "a word for the correction": (partial(rmsprop, 0.1, bias_correction="no"), TypeError, "got bias_correction='no'"),
    "a word for nesterov": (partial(rmsprop, 0.1, momentum=0.9, nesterov="no"), TypeError, "False, got nesterov='no'"),
    "a word for the rate's place": (partial(rmsprop, 0.1, lr_in_momentum="no"), TypeError, "got lr_in_momentum='no'"),
    "a NumPy array of rates": (partial(rmsprop, np.array([0.1])), TypeError, r"must be a number, got .*array\(\[0.1"),
    "a gain that shrinks by growing": (
        partial(scale_by_gains, growth=0.9),
        ValueError,
        "growth must be finite and at least 1, got growth=0.9",
    ),
    "a shrink of 1": (partial(scale_by_gains, shrink=1.0), ValueError, r"shrink must be in \[0, 1\), got shrink=1.0"),
    "gains off 1": (partial(scale_by_gains, minimum=2.0), ValueError, "1 must lie between .*minimum=2.0"),
    "a negative minimum": (partial(scale_by_gains, minimum=-1), ValueError, "minimum must be finite.* got minimum=-1"),
    "no maximum": (partial(scale_by_gains, maximum=None), TypeError, "maximum must be a number, got maximum=None"),
}
TOGETHER = {
    "a mask without decay": (
        partial(rmsprop, 0.1, weight_decay_mask={"w": True}),
        ValueError,
        "weight_decay_mask has a meaning only with weight_decay, got weight_decay=None",
    ),
    "two starts": (
        partial(scale_by_rms, initial_scale=1, bias_correction=True),
        ValueError,
        "bias_correction=True with initial_scale=1.0: drop one",
    ),
    "two clips": (
        partial(dialects.keras, clipnorm=1.0, clipvalue=1.0),
        ValueError,
        "only one of clipnorm, .* got clipnorm and clipvalue: chain",
    ),
    "a negative clip": (partial(dialects.keras, clipnorm=-1.0), ValueError, "clipnorm must .* got clipnorm=-1.0"),
    "caution without momentum": (
        partial(dialects.timm, caution=True),
        ValueError,
        "caution has a meaning only with momentum, got momentum=None",
    ),
    "a corrected decay that is coupled": (
        partial(dialects.timm, corrected_weight_decay=True),
        ValueError,
        "only with decoupled_decay, got decoupled_decay=False",
    ),
    "max_lr alone": (partial(dialects.timm, max_lr=0.1), ValueError, "only with corrected_weight_decay"),
    "max_lr of 0": (
        partial(dialects.timm, 0.0, decoupled_decay=True, corrected_weight_decay=True),
        ValueError,
        "max_lr must be above 0",
    ),
    "max_lr missing": (
        partial(dialects.timm, lambda t: 0.1, decoupled_decay=True, corrected_weight_decay=True),
        ValueError,
        "needs max_lr",
    ),
    "an unknown storage": (
        partial(rmsprop, 0.1, storage="int4"),
        ValueError,
        "storage must be None or one of float32, bfloat16, uint8, got storage='int4'",
    ),
    "no storage": (
        partial(rmsprop, 0.1, storage={}),
        ValueError,
        "storage must be None or one of .*={}",
    ),
    "a dtype for a storage": (  # which is equal to its name
        partial(rmsprop, 0.1, storage=jnp.dtype("bfloat16")),
        ValueError,
        r"got storage=dtype\(bfloat16\)",
    ),
    "a momentum in 8 bits": (
        partial(rmsprop, 0.1, momentum=0.9, momentum_storage="uint8"),
        ValueError,
        "momentum_storage must be None or one of float32, bfloat16, got momentum_storage='uint8'",
    ),
    "another unknown storage": (partial(with_storage, rmsprop(0.1), "int4"), ValueError, "got storage='int4'"),
    "another momentum in 8 bits": (
        partial(with_storage, rmsprop(0.1), momentum_storage="uint8"),
        ValueError,
        "got momentum_storage='uint8'",
    ),
    "a complex momentum in bfloat16": (
        lambda: rmsprop(0.1, momentum=0.9, momentum_storage="bfloat16").init({"z": jnp.ones(2, "complex64")}),
        TypeError,
        r"momentum_storage must be None for complex arrays, got 'bfloat16' for \['z'\] of complex64: .*partition\.",
    ),
    "gains without a mean square": (
        lambda: with_storage(scale_by_gains()).init(one),
        ValueError,
        "must hold a mean square of this package, got one without any",
    ),
    "an optimizer without a mean square": (
        lambda: with_storage(optax.adam(0.1)).init(one),
        ValueError,
        "must hold a mean square of this package, got one without any",
    ),
    "the arguments of with_storage in the wrong order": (
        lambda: with_storage("uint8", rmsprop(0.1)),
        ValueError,
        "storage must be None or one of .* got storage=Gradient",
    ),
}
OF_ANOTHER_FRAMEWORK = {
    "too many positional arguments": (
        partial(rmsprop, 0.01, 0.99, 1e-8, 0.0, True, False, None, False, False, 0.1),
        TypeError,
        "rmsprop: too many positional arguments; it takes learning_rate, decay, eps",
    ),
    "PyTorch's name of the rate": (
        partial(rmsprop, lr=0.1),
        TypeError,
        "unexpected keyword argument 'lr': rmsprop calls it learning_rate",
    ),
    "a word nearly right": (partial(rmsprop, 0.1, momentun=0.9), TypeError, r"'momentun': did you mean momentum\?"),
    "PyTorch's word in optax's place": (
        partial(dialects.pytorch, learning_rate=0.1),
        TypeError,
        "'learning_rate': pytorch calls it lr",
    ),
    "a momentum that Lasagne does not have": (
        partial(dialects.lasagne, 0.1, momentum=0.9),
        TypeError,
        "lasagne got an unexpected keyword argument 'momentum': it takes learning_rate, rho, epsilon",
    ),
    "a momentum that bitsandbytes ignores": (
        partial(dialects.bitsandbytes, momentum=0.9),
        ValueError,
        "momentum must be off, got momentum=0.9: bitsandbytes has the argument, but no such option; drop it",
    ),
    "Nesterov in Keras": (partial(dialects.keras, nesterov=True), TypeError, "unexpected keyword argument 'nesterov'"),
    "no rate where the framework has no default": (dialects.mlx, TypeError, "missing .* 'learning_rate'"),
}
TREES = {
    "a list of numbers with an array of gradients": (
        partial(update, params=[1.0, 2.0], grads=jnp.ones(2)),
        ValueError,
        r"must have the shape of its state and parameter, got \(2,\) for list",
    ),
    "integer gradients": (
        partial(update, grads=jax.tree.map(lambda x: jnp.ones(x.shape, "int32"), PARAMS)),
        TypeError,
        r"update\['b'\] must be floating-point or complex, got int32: give None",
    ),
    "gradients of another tree": (
        partial(update, grads={"w": three}),
        ValueError,
        r"must be trees alike, got: .*\['w'\].*\['b', 'w'\].*init",
    ),
    "gradients of another shape": (
        partial(update, grads={"w": three, "b": three}),
        ValueError,
        r"update\['w'\] must have the shape.*\(3,\) for \(2, 3\): call update with",
    ),
    "the loss for the gradients": (partial(update, grads=jnp.ones(())), ValueError, r"got \(\) for dict: call update"),
    "the pair of value_and_grad": (
        partial(update, grads=(jnp.ones(()), PARAMS)),
        ValueError,
        "must be trees alike, got: Expected tuple, got",
    ),
    "a state of another tree": (
        partial(update, state=rmsprop(0.1).init(OTHER)),
        ValueError,
        r"must be trees alike, got: .*\['a'\]",
    ),
    "a state of another option": (
        partial(update, scale_by_rms(centered=True), state=scale_by_rms().init(PARAMS)),
        ValueError,
        "got one that is not centered for centered=True: call state = init.*interop.transfer",
    ),
    "a state of another optimizer": (
        partial(update, state=optax.adam(0.1).init(PARAMS)),
        TypeError,
        r"must be a rmsprop_optax.ScaleByRmsState, got optax.ScaleByAdamState: call state = init.*interop.transfer",
    ),
    "a state across x64": (across_x64, UserWarning, "float64 .* truncated to dtype float32.*jax_enable_x64"),
    "parameters of another tree": (
        partial(update, params=OTHER, init=PARAMS, weight_decay=0.1),
        ValueError,
        r"must be trees alike, got: .*\['a'\]",
    ),
    "parameters of another shape": (
        partial(update, params={"w": three, "b": three}, init=PARAMS, l2=0.1),
        ValueError,
        r"must have the shape of its state and parameter, got \(2, 3\) for \(3,\)",
    ),
    "no parameters for a decay": (
        partial(update, params=None, init=PARAMS, l2=0.1),
        ValueError,
        r"weight decay needs the parameters, got params=None: call update\(grads, state, params\)",
    ),
    "no parameters for a remainder": (
        partial(update, with_remainder(rmsprop(0.1)), None, init=PARAMS),
        ValueError,
        "a remainder needs the parameters, got params=None: call update",
    ),
    "no parameters to bound": (
        partial(update, dialects.neon(param_clip_value=1.0), None, init=PARAMS),
        ValueError,
        "needs the parameters, got params=None",
    ),
    "no parameters for a penalty": (
        partial(update, dialects.caffe(0.1, weight_decay=0.1, regularization_type="L1"), None, init=PARAMS),
        ValueError,
        "needs the parameters, got params=None",
    ),
    "words for a mask": (
        partial(update, weight_decay=0.1, weight_decay_mask={"w": "False", "b": "True"}),
        TypeError,
        "weight_decay_mask must be made of bools, got 'True' in it: give a tree",
    ),
    "names for a mask": (
        partial(update, weight_decay=0.1, weight_decay_mask=["w"]),
        TypeError,
        "weight_decay_mask must be made of bools, got 'w' in it",
    ),
    "a mask of another tree": (
        partial(update, weight_decay=0.1, weight_decay_mask={"a": True}),
        ValueError,
        "weight_decay_mask must fit the parameters, got: .*prefix",
    ),
    "an array for a mask": (
        partial(rmsprop, 0.1, weight_decay=0.1, weight_decay_mask=jnp.array(True)),
        TypeError,
        "weight_decay_mask must be a tree of bools .* got Array",
    ),
    "a bool for a mask": (
        partial(rmsprop, 0.1, weight_decay=0.1, weight_decay_mask=True),
        TypeError,
        "weight_decay_mask must be a tree of bools .* got True: leave it out to decay all",
    ),
    "no jump to take back": (
        lambda: nesterov_eval_params(rmsprop(0.1).init(one), one, 0.9),
        ValueError,
        "must hold one momentum buffer of rmsprop_optax, got 0",
    ),
}
CALLS = {
    "a NumPy eps that vanishes in float16": (
        lambda: rmsprop(0.1, eps=np.float16(1e-8)),
        TypeError,
        "eps must be in float32 or wider, got float16: give a Python number",
    ),
    "a schedule that returns an array of a shape that fits": (
        partial(update, rmsprop(lambda t: jnp.ones(3))),
        ValueError,
        r"learning_rate\(count\) must be a scalar, got an array of shape \(3,\): .*partition",
    ),
    "a schedule that returns an array that widens the update": (
        partial(update, rmsprop(lambda t: jnp.ones((4, 1, 1)))),
        ValueError,
        r"learning_rate\(count\) must be a scalar, got an array of shape \(4, 1, 1\)",
    ),
    "a scheduled decay of weights that returns an array": (
        partial(update, weight_decay=lambda t: three),
        ValueError,
        r"weight_decay\(count\) must be a scalar, got an array of shape \(3,\)",
    ),
    "a schedule that returns nothing": (
        partial(update, rmsprop(lambda t: None)),
        TypeError,
        r"must be a number, got learning_rate\(count\)=None",
    ),
    "a schedule that returns text": (
        partial(update, rmsprop(lambda t: "0.1")),
        TypeError,
        r"learning_rate\(count\)='0.1'",
    ),
    "a constructor for a rate": (
        partial(update, rmsprop(rmsprop)),
        TypeError,
        r"learning_rate\(count\) must be a number, got .*GradientTransformation",
    ),
    "a truth value for a rate": (
        partial(rmsprop, jnp.array(True)),
        TypeError,
        "must be a number, got an array of bool",
    ),
    "a key for a rate": (lambda: rmsprop(jax.random.key(0)), TypeError, "must be a number, got an array of key<fry>"),
    "a constructor for an optimizer": (
        partial(with_storage, rmsprop),
        TypeError,
        r"must be an .*Transformation, got <function rmsprop .*: call its constructor, as in rmsprop\(0.1\)",
    ),
    "a constructor with a remainder": (
        partial(with_remainder, rmsprop),
        TypeError,
        "Transformation, got <function rms",
    ),
    "another optimizer's state for gains": (
        lambda: scale_by_gains().update(PARAMS, optax.adam(0.1).init(PARAMS)),
        TypeError,
        "must be a rmsprop_optax.ScaleByGainsState, got tuple",
    ),
    "a constructor that is measured": (partial(measured, rmsprop), TypeError, "Transformation, got <function rms"),
    "a rate in float32_updates": (partial(float32_updates, 0.1), TypeError, "must be an .*Transformation, got 0.1"),
    "a storage for no momentum": (
        partial(rmsprop, 0.1, momentum_storage="bfloat16"),
        ValueError,
        "momentum_storage has a meaning only with momentum, got momentum=None",
    ),
    "a model for parameters": (
        lambda: rmsprop(0.1).init(nn.Dense(3)),
        TypeError,
        r"parameter must be an array, got Dense\(",
    ),
    "a model for gradients": (partial(update, grads=nn.Dense(3)), TypeError, r"update must be an array, got Dense\("),
    "a function for gradients": (
        partial(update, grads=max),
        TypeError,
        "update must be an array, got <built-in .* max",
    ),
    "text for parameters": (
        lambda: rmsprop(0.1).init({"w": "ones"}),
        TypeError,
        r"the parameter\['w'\] must be an array, got 'ones': .* not the model or function",
    ),
    "init forgotten": (
        lambda: rmsprop(0.1).update(PARAMS, None),
        TypeError,
        r"the state must be a tuple, got NoneType: call state = init\(params\)",
    ),
    "init not called": (partial(update, state=rmsprop(0.1).init), TypeError, "must be a tuple, got function"),
    "parameters before the state": (
        lambda: rmsprop(0.1).update(PARAMS, PARAMS, rmsprop(0.1).init(PARAMS)),
        TypeError,
        r"must be a tuple, got dict: call state = init\(params\)",
    ),
    "a state before the gradients": (
        lambda: rmsprop(0.1).update(rmsprop(0.1).init(PARAMS), PARAMS, PARAMS),
        TypeError,
        "must be a tuple, got dict",
    ),
    "Adam's state": (
        partial(update, scale_by_rms(), state=optax.scale_by_adam().init(PARAMS)),
        TypeError,
        "must be a rmsprop_optax.ScaleByRmsState, got optax.ScaleByAdamState: .*interop.optax.read",
    ),
    "a state without the momentum": (
        partial(update, state=rmsprop(0.1).init(PARAMS), momentum=0.9),
        TypeError,
        "must have 4 parts, one for each link, got 2: .*interop.transfer",
    ),
    "a state without the remainder": (
        partial(update, with_remainder(rmsprop(0.1)), state=rmsprop(0.1).init(PARAMS)),
        TypeError,
        "must be a rmsprop_optax.RemainderState, got tuple",
    ),
    "gains without a state": (lambda: scale_by_gains().update(PARAMS, None), TypeError, "must be .* got NoneType"),
    "a remainder's parameters of another tree": (
        partial(update, with_remainder(rmsprop(0.1)), OTHER, init=PARAMS),
        ValueError,
        r"must be trees alike, got: .*\['a'\]",
    ),
    "a jump of other parameters": (
        lambda: nesterov_eval_params(rmsprop(0.1, momentum=0.9).init(PARAMS), OTHER, 0.9),
        ValueError,
        r"must be trees alike, got: .*\['a'\]",
    ),
}
# command line: what it prints
COMMANDS = {
    "train --epochs 1.5": "--epochs: must be a whole number from 1 to 1000000, got '1.5'",
    "train --seeds 0": "--seeds: must be a whole number from 1 to 1000000, got '0'",
    "train --dialect": "--dialect: expected at least one argument",
    "train --checkpoint": "--checkpoint: expected one argument",
    "train --set =1": "--set =1: write argument=value or name.argument=value",
    "train --set rho=nan": "'nan' is not a number, true, false or none",
    "train --set learning_rate=-1": "keras: learning_rate must be finite and at least 0, got learning_rate=-1: ",
    "train --dialect keras --optimizer adam --set foo=1": "keras has no such argument; it has learning_rate, rho",
    "train --measure x": "train has no option --measure; --help names the options",
    "train -x": "train takes no argument '-x'; --help names what it takes",
    "--seed 1": "no option --seed; it is an option of train: `train --seed …`",
    "dialects pytorch keras --seeds 2": "dialects has no option --seeds; it is an option of train",
    "recipes --all": "recipes has no option --all; --help names the options",
    "scaling --to-outside --eps 1 --range 1": "--range: expected 2 arguments",
    "scaling --to-outside --eps 1 --range -1 2": "0 <= low <= high with a finite low, got low=-1.0, high=2.0: ",
    "scaling --sum-to-mean many --eps 1": "--sum-to-mean: must be a whole number from 1 to 1000000, got 'many'",
    "plan --params 1B": "required: --topology",
    "plan --topology v5e:4x4": "one of the arguments --params --shapes --step is required",
    "plan --params 0 --topology v5e:4x4": "parameters must be 1e5 to 1e14, got 0; for another model give its shapes",
    "plan --params 1B --topology v9:4": "topology 'v9:4': must begin with a chip, v4, v5e",
    "plan --params 1B --topology v5e:3x3": "each size must be 1 or even. Did you mean v5e:2x4",
    "plan --params 1B --topology v5e:4x4 --storage uint9": "invalid choice: 'uint9' .*'float32'.*'bfloat16'.*'uint8'",
    "plan --params 1B --topology v5e:4x4 --sharding zero3": "invalid choice: 'zero3' .*'fsdp'.*'replicated'",
    "plan --params 1B --shapes x --topology v5e:4x4": "--shapes: not allowed with argument --params",
    "convert": "required: file, --to",
    "convert none.keras --to x": "none.keras: No such file or directory",
    "convert none.pt --to .": "exists: choose another folder, or replace it with overwrite=True",
    "convert none.pt --to x --set rho": "--set rho: write argument=value, the value in JSON",
}
OURS = (TypeError, ValueError, FileExistsError, ImportError)
# A wrong call → what its error says.
WRITTEN = {
    "rmsprop(0.1, storage=lambda path, leaf: None)": "one of float32, bfloat16, uint8, got storage=<function",
    'with_storage(TX, ("uint8",))': r"must be None or one of .*, got storage=\('uint8',\)",
    'update(with_remainder(TX), SHORT, grads={"w": jnp.ones(3, "bfloat16")})': (
        r"and parameter, got \(3,\) for \(2,\): call update with"
    ),
    'update(with_remainder(TX), SHORT, grads={"v": jnp.ones(2, "bfloat16")})': (
        "updates, state and parameters must be trees alike, got: Dict"
    ),
    "nesterov_eval_params(MOMENTUM, PARAMS, 1.5)": r"must be in \[0, 1\), got momentum=1.5: it is the weight of the",
    "nesterov_eval_params(PARAMS, MOMENTUM, 0.9)": "of rmsprop_optax, got 0: pass the state of one optimizer with",
    'nesterov_eval_params(MOMENTUM, {"w": three, "b": three}, 0.9)': r"parameter, got \(2, 3\) for \(3,\).",
    "nesterov_eval_params(optax.trace(0.9).init(PARAMS), PARAMS, 0.9)": "of rmsprop_optax, got 0: pass the state of",
    "nesterov_eval_params((MOMENTUM, MOMENTUM), PARAMS, 0.9)": r"got 2: .*with momentum; of an optax.partition, pass",
    'nesterov_eval_params(MOMENTUM, {"w": [three], "b": three}, 0.9)': r"parameter, got \(2, 3\) for list.",
    "experimental.one_pass(TX)": "in the environment before JAX starts, got '",
    "scale_by_stddev(dekay=0.9)": r"scale_by_stddev got an unexpected keyword argument 'dekay': did you mean decay\?",
    "dialects.keras(clip=1.0)": "unexpected keyword argument 'clip': keras calls it clipnorm.",
    "scale_by_stddev(1.5)": r"decay must be in \[0, 1\), got decay=1.5: it is the weight of the old mean square; 0.9",
    "create(3)": r"name must be a string, got 3: create\('pytorch', learning_rate=0.1\).",
    'create("")': r"name must be a dialect, an alias or a recipe, got '': names\(\) lists them.",
    'create("rmsprop")': "name must be a dialect, an alias or a recipe, got 'rmsprop': each framework has its",
    'create("pytroch")': r"name must be a dialect, an alias or a recipe, got 'pytroch': did you mean 'pytorch'\?",
    'create("adam")': r"name must be a dialect, an alias or a recipe, got 'adam': names\(\) lists them.",
    'create({"name": "pytorch"})': r"name must be a string, got \{'name': 'pytorch'\}: create\('pytorch',",
    'create("pytorch(lr=1/3)")': r"as .pytorch\(lr=0.01, momentum=0.9\)., got 'pytorch\(lr=1/3\)': lr is not a",
    'create("pytorch(0.1)")': r"as .pytorch\(lr=0.01, momentum=0.9\)., got 'pytorch\(0.1\)': write every argument with",
    'create("pytorch(lr=0.1")': r"as .pytorch\(lr=0.01, momentum=0.9\)., got 'pytorch\(lr=0.1': '\(' was never closed.",
    'create("pytorch(**x)")': r"as .pytorch\(lr=0.01, momentum=0.9\)., got 'pytorch\(\*\*x\)': write every argument",
    'create("recipes.pytorch")': "must be a dialect, an alias or a recipe, got 'recipes.pytorch': did you mean",
    'create("dialects.impala")': "must be a dialect, an alias or a recipe, got 'dialects.impala': did you mean",
    "create(\"pytorch(lr='0.1')\")": "lr must be a number, got lr='0.1': a small number or a schedule; to ascend,",
    'create("pytorch", centered="yes")': "centered must be True or False, got centered='yes'.",
    'create("pytorch", lr=0.1, learning_rate=0.1)': "must be given once, got lr and learning_rate, which are both the",
    'create("keras(rho=1.5)")': r"rho must be in \[0, 1\), got rho=1.5: it is the weight of the old mean square; 0.9",
    'create("keras", alpha=0.9)': "keras got an unexpected keyword argument 'alpha': keras calls it rho.",
    'create("keras2", decay=0.9)': "decay has two meanings for keras2: other dialects' decay is its rho, and its own",
    'create("hinton", learning_rate=0.1, eps=1e-3)': "hinton has no eps: hinton takes learning_rate, decay, momentum.",
    'create("impala")': "steps or learning_rate must be given, got neither: steps is the number of",
    "scaling.rescaled(0, eps=1e-8)": "factor must be finite and above 0, got factor=0: it is new gradient / old",
    "scaling.rescaled(True, eps=1e-8)": "be a Python or NumPy number, got factor=True: it is new gradient / old",
    'scaling.rescaled(2, eps="1e-8")': "eps must be a number, got eps='1e-8': use a small positive number or 0.",
    'scaling.rescaled(2, eps=1e-8, eps_in_sqrt="no")': "be True or False, got eps_in_sqrt='no'.",
    "scaling.to_batch_size(8, 800, decay=0.9)": "a decay of 0.9 can follow a batch at most 10 times as large, got 100",
    "scaling.to_batch_size(0, 8, decay=0.9)": "old must be finite and at least 1, got old=0: it is the number of",
    'scaling.to_batch_size(8, 16, eps="1e-8")': "number, got eps='1e-8': use a small positive number or 0.",
    'scaling.to_batch_size(8, 16, eps_in_sqrt="no")': "be True or False, got eps_in_sqrt='no'.",
    "scaling.to_batch_size(8, 16, decay=jnp.float32(0.9))": r"number, got decay=Array\(0.9, .*: it is the weight of",
    "scaling.to_batch_size(8, 16, weight_decay=0.1)": "weight_decay follows the learning rate, got no learning_rate: ",
    "scaling.sum_to_mean(10**6, eps=1e-30)": "eps=1e-30 for factor=1e-06 is too small: the new eps would be 0 in",
    "scaling.mean_to_sum(10**9, eps=1e300)": r"eps=1e\+300 for factor=1000000000.0 is too large: the new eps would be",
    "scaling.sum_to_mean(2.5, eps=1e-8)": "whole number of at least 1, got batch_size=2.5: it is the number of terms",
    "scaling.sum_to_mean(0, eps=1e-8)": "finite whole number of at least 1, got batch_size=0: it is the number of",
    "scaling.sum_to_mean(1e-8, eps=32)": "whole number of at least 1, got batch_size=1e-08: it is the number of terms",
    "scaling.mean_to_sum(-3, eps=1)": "a finite whole number of at least 1, got batch_size=-3: it is the number of",
    'scaling.eps_outside_sqrt("1e-8")': "eps must be a number, got eps='1e-8': use a small positive number or 0.",
    "scaling.eps_outside_sqrt(1e-8, 2, 1)": "low <= high with a finite low, got low=2, high=1: the bounds are root",
    "scaling.eps_outside_sqrt(np.ones(2))": r"eps must be a number, got eps=array\(\[1., 1.\]\): use a small positive",
    "scaling.eps_inside_sqrt(1e-8, low=-1)": "<= high with a finite low, got low=-1, high=inf: the bounds are root",
    "scaling.eps_inside_sqrt(1e300)": r"eps=1e\+300 for low=0.0, high=inf is too large: the epsilon inside would be",
    "scaling.eps_inside_sqrt(1e-30)": "eps=1e-30 for low=0.0, high=inf is too small: the epsilon inside would be 0 in",
    "recipes.impala()": "steps or learning_rate must be given, got neither: steps is the number of",
    "recipes.impala(steps=10, learning_rate=0.1)": "that steps is for, got both, steps=10: drop one.",
    'recipes.impala(steps="10")': "be a Python or NumPy number, got steps='10': it is the number of updates until",
    'recipes.a2c(steps=float("nan"))': "steps must be finite and at least 1, got steps=nan: it is the number of",
    "recipes.impala(steps=10, mean_of=2.5)": "must be a whole number, got mean_of=2.5: it is the number of terms in",
    "recipes.impala(steps=10, mean_of=0)": "must be finite and at least 1, got mean_of=0: it is the number of terms",
    "recipes.efficientnet(100)": "efficientnet: missing a required .*argument: 'weight_decay_mask'; it",
    "recipes.efficientnet(100, batch_size=0, weight_decay_mask=None)": "least 1, got batch_size=0: it is the number",
    "recipes.efficientnet(100, weight_decay_mask=True)": "the parameters, got True: leave it out to decay all, and",
    "recipes.timm_efficientnet(100, warmup_epochs=-1)": "and at least 1, got warmup_epochs=-1: it is the number of",
    "recipes.wgan(-1)": "clamp must be finite and at least 0, got clamp=-1: it bounds a norm or an absolute",
    "update(recipes.wgan(), None, init=PARAMS)": r"needs the parameters, got params=None: call update\(grads, state,",
    "recipes.graves(-1e-4)": "graves: too many positional arguments; it takes learning_rate=….",
    "recipes.pymarl(learning_rate=None)": "learning_rate must be a number, got learning_rate=None: a small number or",
    "measured(TX, every=0)": "every must be a whole number above 0, got every=0: leave it out for the default.",
    "measured(TX, every=True)": "every must be a whole number above 0, got every=True: leave it out for the default.",
    "measured(None)": "must be an optax.GradientTransformation, got None: call its constructor, as in",
    "measured(optax.MultiSteps(TX, 2))": "an optax.GradientTransformation, got",
    "update(measured(TX), state=STATE)": "must be a rmsprop_optax.MeasuredState, got tuple: call state = init",
    "measured(TX).update(PARAMS, None, PARAMS)": r"MeasuredState, got NoneType: call state = init\(params\) of the",
    'measured(TX).init({"a/b": one, "a": {"b": one}})': "a name of its own, got two of a/b.",
    "scalars(TX)": "the state must hold a MeasuredState, got none: wrap the optimizer,",
    "scalars(STATE)": "the state must hold a MeasuredState, got none: wrap the optimizer,",
    "report(PARAMS)": "the state must hold a MeasuredState, got none: wrap the optimizer,",
    "effective_rates(TX, STATE, PARAMS, entries=-3)": "number above 0, got entries=-3: leave it out for the default.",
    "effective_rates(optax.adam(0.1), optax.adam(0.1).init(PARAMS), PARAMS)": (
        "a ScaleByRmsState, got none: give the state of an"
    ),
    "effective_rates(TX, PARAMS, STATE)": "a state with a ScaleByRmsState, got none: give the state of an",
    "effective_rates(TX.init, STATE, PARAMS)": "got <function chain.<locals>.init_fn",
    "effective_rates(rmsprop(lambda t: 0.1), STATE, PARAMS)": "optimizer, got none of its 1/count: call",
    "effective_rates(TX, STATE, OTHER)": "params must be those of the state, got none of b, w: call",
    "measure.sharpness(rmsprop, STATE, PARAMS, jnp.sum)": "must be an optax.GradientTransformation, got <function",
    'measure.sharpness(TX, rmsprop(0.1).init({"w": one}), {"w": one}, jnp.sum)': "needs 2 parameters with a mean",
    "effective_rates(TX, STATE, None)": "params must be those of the state, got none of b, w: call",
    'state_shardings(TX, SHARDED, mesh="d")': "must be a jax.sharding.Mesh, got mesh='d': make one with",
    "state_shardings(TX, SHARDED, mesh=jax.devices())": r"jax.sharding.Mesh, got mesh=\[CpuDevice\(id=0\),",
    'state_shardings(TX, SHARDED, zero=("data", "data"))': r"mesh axis once, got zero=\('data', 'data'\): drop the",
    'state_shardings(TX, SHARDED, zero="fsdp")': "axes of the mesh, data, got fsdp: pick one.",
    "state_shardings(TX, SHARDED, zero=8)": "mesh axis or a tuple of names, got zero=8: name an axis",
    "state_shardings(STATE, SHARDED)": r"tx must be an optimizer with init, got tuple: call state_shardings\(tx,",
    "state_shardings(rmsprop, SHARDED)": r"tx must be an optimizer with init, got function: call state_shardings\(tx,",
    "state_shardings(SHARDED, TX)": r"tx must be an optimizer with init, got dict: call state_shardings\(tx, params\)",
    "state_shardings(TX, PARAMS)": "state_shardings needs a mesh, got parameters without a NamedSharding: pass",
    "state_shardings(TX, None)": "state_shardings needs a mesh, got parameters without a NamedSharding: pass mesh=….",
    "state_shardings(TX, jax.eval_shape(lambda: PARAMS), mesh=MESH)": r"sharding, got none of \['b'\]: give arrays, or",
    'divided(P(), (8,), ("x",), MESH)': "must name axes of the mesh, data, got x: pick one.",
    'divided(P("data", None), (8,), ("data",), MESH)': r"at most 1 entries for the shape \(8,\), got P\('data', None\)",
    "interop.read(optax.adam(0.1).init(PARAMS))": "a state of this package, got none: pass the optimizer's state, or",
    "interop.read(OF_OPTAX)": "state must contain a state of this package, got none: pass the optimizer's state, or",
    "interop.read(TX)": "state must contain a state of this package, got none: pass the optimizer's state, or",
    "interop.write(SLOTS, STATE)": r"lr_in_momentum True, False or None, got \(ScaleByRmsState\(count=Array\(0,",
    'interop.write(STATE, {"mean_square": PARAMS})': r"True, False or None, got \{'mean_square': \{'w': Array\(\[\[1.,",
    "interop.write(STATE, None)": "with lr_in_momentum True, False or None, got None: pass the result of read,",
    "interop.write(TX, SLOTS)": r"like must contain a state of this package, got none: pass tx.init\(params\).",
    "interop.write(OF_OPTAX, SLOTS)": r"contain a state of this package, got none: pass tx.init\(params\).",
    'interop.write(MOMENTUM, AFTER, learning_rate="0.1")': r"the parameters, got '0.1' \('<' not supported between",
    "interop.write(MOMENTUM, AFTER, learning_rate=optax.constant_schedule(0.1))": "of the parameters, got <function",
    "interop.write(MOMENTUM, AFTER)": "the momentum buffer of the state holds the learning rate and that of the slots",
    "interop.write(MOMENTUM, AFTER, learning_rate=0)": r"of the parameters, got 0 \(a rate that is not above 0\): give",
    'interop.write(MOMENTUM, AFTER, learning_rate={"q": 0.1})': r"got \{'q': 0.1\} \(pytree structure error: different",
    "interop.write(STATE, SLOTS, learning_rate=0.1)": "buffer is rescaled, got 0.1: drop it. A buffer is rescaled if",
    'interop.write(MOMENTUM, AFTER._replace(lr_in_momentum="no"))': r"or None, got Slots\(mean_square=\{'b':",
    'interop.write(STATE, SLOTS, repair="smallest")': "None or 'largest', got 'smallest'.",
    "interop.write(STATE, SLOTS._replace(count=-1))": "0 to 2147483647, got -1: set it with",
    "interop.write(STATE, SLOTS._replace(count=2.5))": "0 to 2147483647, got 2.5: set it with",
    "interop.write(STATE, SLOTS._replace(count=2**40))": "0 to 2147483647, got 1099511627776: set it with",
    "interop.write(STATE, slots_of(lambda x: x * np.nan))": "can hold, got a mean_square of b with nan for float32, a",
    "interop.write(STATE, slots_of(lambda x: -x))": "the state can hold, got a mean_square of b with negative",
    "interop.write(STATE, slots_of(lambda x: np.float64(1e300) * np.asarray(x, float)))": (
        r"state can hold, got a mean_square of b with 1e\+300 for"
    ),
    "interop.write(STATE, slots_of(lambda x: 1.0))": "must fit the state, got a mean_square of b that is not an",
    "interop.write(STATE, slots_of(lambda x: x.T[:1]))": r"fit the state, got a mean_square of b with shape \(1,\) for",
    'interop.write(STATE, Slots({"w": PARAMS["w"]}))': "must fit the state, got no mean_square of b: convert names",
    "interop.write(STATE, SLOTS._replace(momentum=PARAMS))": "the state, got a momentum of b, w that the state has no",
    "interop.transfer(STATE, TX)": "must contain a state of this package, got none: pass the optimizer's state, or",
    "interop.transfer(STATE, PARAMS)": "contain a state of this package, got none: pass the optimizer's state, or use",
    "interop.transfer(OF_OPTAX, STATE)": "contain a state of this package, got none: pass the optimizer's state, or",
    "interop.transfer(STATE, rmsprop(0.1).init(OTHER))": "fit the state, got no mean_square of a; a mean_square of b,",
    'interop.named({"a/b": one, "a": {"b": one}})': "a name of its own, got two of a/b.",
    "interop.optax.read(STATE)": "must contain a state of optax.rmsprop, got none: use interop.read and interop.write",
    "interop.optax.read(CORRECTED)": "if the state has bias correction, got decay=None for a state with it: give it.",
    "interop.optax.read(OF_OPTAX, decay=0.9)": "state has bias correction, got decay=0.9 for a state without it: drop",
    "interop.optax.read(CORRECTED, decay=1.0)": r"decay must be in \[0, 1\), got decay=1.0: it is the weight of the",
    "interop.optax.write(STATE, SLOTS)": "contain a state of optax.rmsprop, got none: use interop.read and",
    "interop.optax.write(SLOTS, OF_OPTAX)": "a state of optax.rmsprop, got none: use interop.read and interop.write",
    "interop.optax.write(CORRECTED, SLOTS._replace(count=None), decay=0.9)": (
        "bias correction, got count=None: set it with"
    ),
    "interop.optax.write(OF_OPTAX, slots_of(lambda x: -x))": "can hold, got a mean_square of b with negative entries,",
    "interop.optax.write(optax.rmsprop(0.1), SLOTS)": "of optax.rmsprop, got none: use interop.read and interop.write",
    'pytorch.read(torch(step=np.ones(2)), ["w"])': r"from 0 to 2147483647, got \[1. 1.\]: take a whole checkpoint",
    'pytorch.read(torch(step="3"), ["w"])': "of steps from 0 to 2147483647, got 3: take a whole checkpoint of",
    'pytorch.read(torch(step=-5), ["w"])': "of steps from 0 to 2147483647, got -5: take a whole checkpoint of",
    'pytorch.read(torch(step=np.float32("nan")), ["w"])': "0 to 2147483647, got nan: take a whole checkpoint of",
    'pytorch.read(torch(momentum=None), ["w"])': "group must be a number, got None: set it to the run's.",
    'pytorch.read(torch(momentum="0.9"), ["w"])': "group must be a number, got '0.9': set it to the run's.",
    'pytorch.read(torch(lr=[0.1]), ["w"])': r"group must be a number, got \[0.1\]: set it to the run's.",
    'pytorch.read(torch(), "w")': "must be a list or a mapping of texts, got 'w': put a single name in a list.",
    "pytorch.read(torch(), [0])": r"must be a list or a mapping of texts, got \[0\]: put a single name in a list.",
    "pytorch.read(torch())": r"names must be given, got none in the groups: pass dict\(model.named_parameters\(\)\),",
    'pytorch.read(torch(), ["w", "b"])': "1 parameters of the optimizer, got 2, w, b: leave out buffers, frozen",
    'pytorch.read(torch(), ["w", "w"])': "must have a name of its own, got w more than once.",
    'pytorch.read(torch(), {"w": (3,)})': r"RMSprop must fit its groups, got a square_avg of w with shape \(2,\)",
    'pytorch.read({"fc.weight": one}, ["w"])': "state and param_groups, got fc.weight: find_optimizer finds it in a",
    'pytorch.read(torch(entry={"exp_avg": one}), ["w"])': "must fit its groups, got a exp_avg of w, which its group",
    'pytorch.read(torch(momentum=0.9), ["w"])': "must fit its groups, got no momentum_buffer of w: compare the",
    'pytorch.read(torch(params=[0, 0]), ["w"])': "must be in one group, got a parameter in several groups.",
    'pytorch.read(torch(params=[1]), ["w"])': "must be in one group, got a state of 0 in no group.",
    'pytorch.read(torch(), ["w"], 3)': r"from \{name: array\} to a tree, got 3: write one.",
    'pytorch.read(torch(), ["w"], {"kernel": "w"})': r"array\} to a tree, got \{'kernel': 'w'\}: write one.",
    'pytorch.read(torch(), ["w"], lambda p: {"w": np.sqrt(p["w"])})': "entries, got changed numbers in w: transpose,",
    'pytorch.read(torch(), ["w"], lambda p: {"w": p["w"].astype("float16")})': (
        "only move entries, got changed numbers in w: transpose,"
    ),
    'pytorch.read(torch(), ["w"], lambda p: {})': "each entry in one place, got no place or several for w: use each",
    'pytorch.read(torch(), ["w"], lambda p: {"a": p["w"], "b": p["w"]})': (
        "in one place, got no place or several for w: use each array"
    ),
    'pytorch.read(torch(), ["w"], lambda p: {"a": p["v"]})': r"alone \(w\), got a KeyError of 'v': buffers, such as",
    'pytorch.read(torch(), ["w"], lambda p: {"a": p["w"].permute(0)})': "got AttributeError: 'numpy.ndarray' object",
    'pytorch.read(torch(), ["w"], lambda p: {"a": p["w"].transpose(1, 0)})': (
        "of the parameters, got ValueError: axes don't match array"
    ),
    'pytorch.read(FRESH, {"w": (2,)}, initial_scale=-1.0)': "at least 0, got initial_scale=-1.0: the mean square",
    'pytorch.read(FRESH, {"w": (2,)})': "each parameter must have a state, got none of w, which no gradient has",
    'pytorch.read(FRESH, ["w"], initial_scale=0)': "without a state, got no shape of w: pass",
    'pytorch.optimizer({"state": {}, "param_groups": []})': "groups, got none: pass the state_dict of a whole",
    'pytorch.arguments({"state": {}, "param_groups": [{"params": [0], "lr": 0.1}]})': (
        "have alpha, eps, got the keys params, lr."
    ),
    'pytorch.arguments({"state": {}, "param_groups": [{k: GROUP[k] for k in OLD}]})': (
        "must be given, got a state_dict that may come from PyTorch"
    ),
    'pytorch.arguments(torch(), dialect="torch")': "pfrl, bitsandbytes, got 'torch'.",
    'pytorch.arguments(torch(), dialect="timm")': "else another, got 'timm' for the keys params, lr, alpha, eps,",
    "pytorch.arguments(torch(), learning_rate=[0.1, 0.2])": "of 1 groups, got 2.",
    "pytorch.calls(torch(), learning_rate=[])": "for each of 1 groups, got 0.",
    "pytorch.optimizer(torch(alpha=2.0))": r"alpha must be in \[0, 1\), got alpha=2.0: it is the weight of the old",
    'pytorch.optimizer(torch(lr=float("nan")))': "be finite and at least 0, got lr=nan: a small number or a schedule;",
    "pytorch.optimizer(GROUPS)": "names must be given, got none in the groups: pass",
    'pytorch.optimizer(GROUPS, ["a", "b"])': "parameters without a state, got no shape of a, b: pass",
    'pytorch.optimizer(GROUPS, TWO, lambda p: {"c": np.stack(list(p.values()))})': (
        r"parameter group, got \['group0', 'group1'\]: a leaf has one"
    ),
    "pytorch.optimizer(GROUPS, TWO).init(PARAMS)": "convert makes, a, b, got w: pass the function that made the",
    'pytorch.find_optimizer({"epoch": 3})': "of state and param_groups, got none: pass the file that it was saved in.",
    'pytorch.find_optimizer({"a": torch(), "b": torch()})': "param_groups, got 2, at 'a', 'b': choose one with at=….",
    'pytorch.find_optimizer({"a": torch()}, "b")': "param_groups at 'b', got 1, at 'a': choose one with at=….",
    'pytorch.find_optimizer("run.pt")': "dict of state and param_groups, got none: pass the file that it was saved",
    "pytorch.find_model(torch())": "must have one dict of arrays, got none: pass the file that it was saved in.",
    'pytorch.parameters("run.pt")': "model must be a state_dict, got 'run.pt': find_model finds it in the result",
    'bitsandbytes.read(bnb(state2=one), ["w"])': "0 must be state1, step, got a state2: the state may be that of",
    "bitsandbytes.to_pytorch(torch())": "of bitsandbytes must have betas, got params, lr, alpha, eps,",
    "bitsandbytes.to_pytorch(None)": "must have state and param_groups, got NoneType: find_optimizer finds it in a",
    'bitsandbytes.to_pytorch(bnb(state1=np.ones(300, "uint8"), qmap1=np.ones(256), absmax1=np.ones(9)))': (
        "or 2048 entries, got 256 codes and 9 maxima for 300 entries."
    ),
    'bitsandbytes.to_pytorch(bnb(state1=np.ones(3, "uint8"), qmap1=np.ones(16), absmax1=one))': (
        "or 2048 entries, got 16 codes and 1 maxima for 3 entries."
    ),
    'bitsandbytes.to_pytorch({"state": {}, "param_groups": [GROUP | {"betas": 0.9}]})': (
        "must have betas, got 0.9: read PyTorch's"
    ),
    "tensorflow.read(TF)": "momentum must be given for TensorFlow 1, got None: pass whether the optimizer has",
    "tensorflow.read(TF, momentum=0.9)": "momentum must be True or False, got momentum=0.9.",
    "tensorflow.read(None, momentum=False)": "mapping from names to arrays, got None: pass the result of load.",
    'tensorflow.read(TF, ["v"], momentum=False)': "slots, in its shape, got no rms of v, no momentum of v, a rms of",
    'tensorflow.read(TF, momentum=False, optimizer="Adam")': "of Adam, got global_step, w, w/RMSProp, w/RMSProp_1:",
    'tensorflow.read(TF | {"w/RMSProp": three}, momentum=False)': r"its shape, got a rms of w with shape \(3,\) for",
    'tensorflow.read(TF | {"global_step": np.float32(2.5)}, momentum=False)': (
        "0 to 2147483647, got 2.5: pass the checkpoint's own count,"
    ),
    "tensorflow.write(SLOTS, TF, momentum=False)": r"True, False or None, got \{'w': array\(\[1., 1.\]\), 'w/RMSProp':",
    'tensorflow.write(TF, {"mean_square": TWO}, momentum=False)': r"or None, got \{'mean_square': \{'a': \(2,\), 'b':",
    'tensorflow.write(TF, Slots({"w": -np.ones(2)}, count=1), momentum=False)': (
        "can have, got a mean_square of w with negative entries, -1:"
    ),
    'tensorflow.write(TF, Slots({"w": np.ones(2)}), momentum=False)': r"got no count, which slots._replace\(count=…\)",
    'tensorflow.write(TF, Slots({"w": one}, {"w": one}, count=1), momentum=False)': (
        "of TensorFlow, got a mean that it has no variables for:"
    ),
    "tensorflow.keras_variables(TF)": "and numbered variables, got none: pass the optimizer's place as optimizer=…,",
    "tensorflow.keras_variables(None)": "be a mapping from names to arrays, got None: pass the result of load.",
    'keras.read(KERAS, ["w"])': r"must be given for variables without names, got none: pass optimizer.get_config\(\),",
    'keras.read(KERAS, ["w"], config={"momentum": 0.9})': r"of 1 parameters, got 3 variables of the shapes \(\), \(\),",
    'keras.read(KERAS, ["w", "b"], config={})': r"velocity of 2 parameters, got 3 variables of the shapes \(\), \(\),",
    'keras.read({"0": 1, "2": 2}, ["w"], config={})': "the keys 0 to 1, got none at 1: pass optimizer.variables, or",
    'keras.read(KERAS | {"0": np.float32(3)}, ["w"], config={})': r"least 0, got float32 with shape \(\): pass all",
    'keras.optimizer({"learning_rate": 0.1, "rho": 1.5})': r"be in \[0, 1\), got rho=1.5: it is the weight of the old",
    'keras.write(KERAS, AFTER._replace(lr_in_momentum=True), ["w"], config={})': "got a momentum that it has no",
    "pytorch.load(__file__)": "test_misuse.py (needs the package torch|must be a whole file of torch.save)",
    'convert.save(".", None)': "exists: choose another folder, or replace it with overwrite=True",
    'convert.read("run.keras", initial_scale=0)': "initial_scale must be None for a file of Keras, got 0 .*: drop it",
    'convert.read("run.keras", dialect="pfrl")': "dialect must be None for a file of Keras, got 'pfrl' .*: drop it",
    'convert.read("run.h5", model="ema")': r"model must be None for a file of Keras, got 'ema' \(--model\): drop it",
    'convert.restore("none", TX, PARAMS)': "none must be a whole checkpoint of rmsprop-optax convert, got",
    "layers.linear(W)": r"be a non-empty mapping from names to arrays, got array\(\[\[1., 1., 1., 1.\],",
    'layers.linear(layers.prefixed({"fc.weight": W}, "fc2"))': r"to arrays, got \{\}: pass prefixed\(arrays, layer\)",
    'layers.linear({"gamma": W})': "layer only takes weight, kernel, bias, got gamma: use the function of the layer",
    'layers.linear({"weight": np.ones((1, 2, 3))})': r"the shape of its layer, got \(1, 2, 3\) \(axes don't match",
    'layers.linear({"weight": [[1.0, 2.0]]})': r"with the shape of its layer, got \(1, 2\) \('list' object has no",
    'layers.linear({"weight": W}, inputs=(3,))': r"with the shape of its layer, got \(4, 4\) \(cannot reshape array of",
    'layers.linear({"weight": W}, outputs=4)': r"with the shape of its layer, got \(4, 4\) \(Value after \* must be an",
    'layers.linear_after_flatten({"weight": W}, shape=(3, 2, 2))': r"its layer, got \(4, 4\) \(cannot reshape array of",
    'layers.conv({"weight": three})': r"an array with the shape of its layer, got \(3,\) \(axis 1 is out of bounds for",
    'layers.conv({"weight": W})': r"an array with the shape of its layer, got \(4, 4\) \(fewer than 3 axes\): use the",
    'layers.conv_transpose({"weight": W})': r"with the shape of its layer, got \(4, 4\) \(fewer than 3 axes\): use",
    'layers.depthwise_conv({"kernel": W})': r"with the shape of its layer, got \(4, 4\) \(fewer than 3 axes\): use",
    'layers.depthwise_conv({"weight": np.ones((3, 1, 2, 2))})': "bias, got weight: use the function of the layer that",
    'layers.norm("bn1")': r"a non-empty mapping from names to arrays, got 'bn1': pass prefixed\(arrays, layer\) with",
    'layers.norm({"kernel": W})': "takes weight, gamma, scale, bias, beta, got kernel: use the function of the layer",
    'layers.batch_stats({"weight": W})': "moving_mean and moving_variance, got weight: pass the state dict of one",
    'layers.batch_stats({"bn1.running_mean": three})': "moving_variance, got bn1.running_mean: pass the state dict of",
    'layers.batch_stats({"moving_variance": three}, entries=32)': "got moving_variance: pass the state dict of one",
    'layers.batch_stats({"running_var": three}, entries=1)': "above 1, got 1: pass batch size × height × width.",
    'layers.batch_stats({"running_var": three}, entries="32")': "above 1, got '32': pass batch size × height × width.",
    'layers.embedding({"weight": three})': r"with the shape of its layer, got \(3,\) \(fewer than 2 axes\): use the",
    'layers.multi_head_attention({"qkv.weight": np.ones((12, 4))}, num_heads=3)': (
        r"of its layer, got \(4, 4\) \(cannot reshape array of size 16"
    ),
    'layers.multi_head_attention({"qkv.weight": np.ones((10, 4))}, num_heads=2)': (
        r"of its layer, got \(10, 4\) \(no three parts\): use the"
    ),
    'layers.multi_head_attention({"bias_k": three}, num_heads=2)': "bias_k has no place in Flax's attention: write",
    'layers.cell({"weight_ih": W, "weight_hh": W, "weight_hr": W})': "Flax's cells have no place for weight_hr: write",
    "layers.cell(None)": r"non-empty mapping from names to arrays, got None: pass prefixed\(arrays, layer\) with",
    'layers.cell_by_gate({"weight_ih": np.ones((8, 3)), "weight_hh": np.ones((8, 4))})': (
        r"PyTorch's, got \(4, 8\): pass all arrays of one cell."
    ),
    'layers.cell_by_gate({"weight_ih": W, "weight_hh": W, "bias_ih": W[0], "bias_hh": W[0]})': (
        "for each gate, got two, whose slots cannot be joined: keep"
    ),
    'layers.converter({"a": ("fc2", layers.linear)})({"fc.weight": W})': (
        "array a layer, got no arrays of fc2 and no layer for"
    ),
    'layers.converter({"a": ("fc", layers.linear)})({"fc.weight": W, "x": W})': (
        "array a layer, got no layer for x: leave out buffers, such as"
    ),
    'layers.converter({"a": ("fc", layers.linear), "a/kernel": "g"})({"fc.weight": W, "g": W})': (
        "be filled once, got kernel from two rows of the table."
    ),
    'layout.backward({"b": three}, {"w": (3,)}, lambda p: {"a": p["w"]})': (
        "of the slots, got a, which the slots lack: pass the function"
    ),
    'layout.backward({"a": three}, {"w": (2,)}, lambda p: {"a": p["w"]})': (
        r"of the slots, got \(2,\) for \(3,\) at a: pass the function"
    ),
    "keras.load(__file__)": "must be a whole .keras, .weights.h5 or .h5 file, got",
    'keras.save(__file__, {}, "run.keras")': "test_misuse.py exists: choose another name, or pass overwrite=True",
    'plots.movements([], title="")': r"rows must not be empty, got \[\]: pass at least one entry.",
    'plots.movements([MOVED | {"movement": []}], title="")': r"of one length, got the shapes \[\(0,\)\]: pass",
    'plots.movements([{"dialect": "a", "weight": "w"}], title="")': "movement, got dialect, weight: add movement.",
    'plots.movements(MOVED, title="")': r"rows must be a list, got \{'dialect': 'a', 'weight': 'w', 'movement': \[1.0,",
    'plots.movements([MOVED | {"movement": "far"}], title="")': "numbers, got 'far': could not convert string to",
    'plots.movements([MOVED | {"movement": 1.0}], title="")': r"of one length, got the shapes \[\(\)\]: pass all",
    'plots.movements([MOVED, MOVED | {"dialect": "b", "movement": [1.0]}], title="")': (
        r"be \[steps\] of one length, got the shapes \[\(1,\), \(2,\)\]: pass"
    ),
    'plots.movements([MOVED, MOVED | {"weight": "v"}, MOVED | {"dialect": "b"}], title="")': (
        "for each weight, got none of b for v."
    ),
    'plots.layers([LAYER], title="", measures=())': r"must not be empty, got \(\): pass at least one entry.",
    'plots.layers([LAYER], title="", measures="gradient")': "be a list, got 'gradient': give a list.",
    'plots.layers([LAYER], title="", measures=("grad",))': "warm_up, got 'grad'.",
    'plots.layers(LAYER, title="")': r"rows must be a list, got \{'step': 1, 'gradient/w': 1.0\}: give a list.",
    'plots.layers([{"gradient/w": 1.0}], title="")': "row must have step, got gradient/w: add step.",
    'plots.layers([{"step": 1}], title="")': "such as gradient/conv/kernel, got step.",
    'plots.layers([LAYER | {"gradient/w": "large"}], title="")': r"numbers, got \['large'\]: could not convert string",
    'plots.rates([{"step": 1, "w": [1.0]}], title="", bins=0)': "above 0, got bins=0: leave it out for the default.",
    'plots.rates([{"step": 1}], title="")': "learning rates of arrays, got step alone.",
    'plots.rates([{"step": 1, "w": "large"}], title="")': "must be numbers, got 'large': could not convert string to",
    'plots.curves({"a": [{"train_loss": 1.0}]}, title="")': "have epoch, got train_loss: add epoch.",
    'plots.curves({}, title="")': r"runs must not be empty, got \{\}: pass at least one entry.",
    'plots.curves([{"epoch": 1}], title="")': r"must be a dict with names, got \[\{'epoch': 1\}\]: give a dict with",
    'plots.curves({"a": [1, 2]}, title="")': "must be a mapping with epoch, got 1.",
    'plots.curves({"a": {"epoch": 1}}, title="")': r"must be a list, got \{'epoch': 1\}: give a list.",
    'plots.curves({"a": [{"epoch": 1, "train_loss": "low"}]}, title="")': (
        r"must be numbers, got \['low'\]: could not convert string to"
    ),
    'plots.curves({"a": [{"epoch": "one", "train_loss": 1.0}]}, title="")': (
        r"must be numbers, got \['one'\]: could not convert string to"
    ),
    'plots.bands({"a": np.ones((2, 2, 2))}, **LABELS)': r"with 2 points, got a \[2, 2, 2\].",
    'plots.bands({"a": three}, x=[1, 2], **LABELS)': r"with 2 points, got a \[1, 3\].",
    'plots.bands({"a": three}, band=(0.6, 0.9), **LABELS)': r"sides of 0.5, got \(0.6, 0.9\): \(0.25, 0.75\) is the",
    'plots.bands({"a": three}, band=(0.1, 0.5, 0.9), **LABELS)': r"of 0.5, got \(0.1, 0.5, 0.9\): \(0.25, 0.75\) is",
    'plots.bands({"a": three}, band=0.5, **LABELS)': r"on both sides of 0.5, got 0.5: \(0.25, 0.75\) is the middle",
    'plots.bands({"a": "abc"}, **LABELS)': r"runs\['a'\] must be numbers, got 'abc': could not convert string to",
    'plots.bands({"a": three, "b": one}, **LABELS)': r"with 3 points, got b \[1, 1\].",
    'plots.trajectories({"a": np.ones((3, 3))}, np.add, title="")': r"weights, got a \[3, 3\].",
    'plots.trajectories({"a": PATH * np.nan}, np.add, title="")': r"weights, got a \[3, 2\].",
    'plots.trajectories({"a": PATH}, 3.0, title="")': r"pair of weights, got \[\] for \[300, 300\]: compute with the",
    'plots.trajectories({"a": PATH}, lambda x, y: 1.0, title="")': r"weights, got \[\] for \[300, 300\]: compute with",
    'plots.trajectories({"a": PATH}, np.add, title="", every=0)': "above 0, got every=0: leave it out for the",
    'plots.trajectories({"a": PATH}, np.add, title="", limits=(0, 1))': r"weight, got \(0, 1\): write both.",
    'plan.topology_of("v5e:3x3")': "topology 'v5e:3x3': each size must be 1 or even. Did you mean v5e:2x4, which",
    'plan.topology_of("v5e:64x64")': "a pod of v5e has 256 chips, got 4096. Did you mean v5e:16x16, which Cloud calls",
    'plan.parse_count("1,3B")': r"number such as 1.3e9, 1.3B, 350M or 125k, got '1,3B'. Did you mean 1.3B\?",
    "plan.transformer(-1)": "parameters must be 1e5 to 1e14, got -1; for another model give its shapes.",
    'plan.arrays_of({"w": "x"})': r"must be shapes in dicts and lists, got 'x' at \['w'\].",
    "plan.arrays_of({})": r"must hold a shape such as \[768, 3072\], got none.",
    "float32_updates(TX).init(1.0)": "must be arrays, got 1.0: jnp.asarray makes one of a number.",
    'with_remainder(TX).init({"w": "ones"})': "must be arrays, got 'ones': jnp.asarray makes one of a number.",
    "names(3)": r"a text with wildcards, got 3: names\('tf\*'\).",
    'differences.words("pytorch", "kears")': r"be of dialects.TABLE, got 'kears': did you mean keras\?",
    'differences.words("pytorch", 3)': r"be of dialects.TABLE, got 3: did you mean pytorch\?",
    'differences.settings(["pytroch"])': r"be of dialects.TABLE, got 'pytroch': did you mean pytorch\?",
    'differences.settings("pytroch")': r"be of dialects.TABLE, got 'pytroch': did you mean pytorch\?",
    "differences.settings(None)": r"be of dialects.TABLE, got None: did you mean sonnet\?",
    'differences.settings(["pytorch"], momentum=2.0)': r"must be in \[0, 1\), got momentum=2.0: it is the weight of",
    'differences.settings(["pytorch"], momentum="0.9")': "must be a number, got momentum='0.9': it is the weight of",
    'differences.settings(["pytorch"], same="no")': "must be True or False, got same='no'.",
    'differences.movements(["torch"])': r"be of dialects.TABLE, got 'torch': did you mean torch7\?",
    'differences.movements(["pytorch"], momentum=-1)': r"must be in \[0, 1\), got momentum=-1: it is the weight of the",
    "plan.topology_of(16)": "topology 16: must begin with a chip, v4, v5e, v5p, v6e, tpu7x, as in v5e:4x4 or",
    'plan.transformer("1B")': "must be 1e5 to 1e14, got 1B; for another model give its shapes.",
    'layers.converter([("fc", layers.linear)])': r"strings for place and name, got \[\('fc', <function linear",
    'layers.converter({"fc": layers.linear})': r"strings for place and name, got \{'fc': <function linear",
    'layers.converter({0: ("fc", layers.linear)})': r"strings for place and name, got \{0: \('fc', <function linear",
    'layers.converter({"a": ("fc", "linear")})': r"strings for place and name, got \{'a': \('fc', 'linear'\)\}: for",
    'layers.converter({"a": ("fc", layers.linear)})([W])': r"from names to arrays, got \[array\(\[\[1., 1., 1., 1.\],",
    'layers.prefixed({"fc.weight": W}, 0)': r"be a name or a pattern, got 0: for example 'layer1.0' or 'lstm.\*_l0'.",
    'layers.prefixed([W], "fc")': r"from names to arrays, got \[array\(\[\[1., 1., 1., 1.\],",
    'keras.write(KERAS, {"mean_square": TWO}, ["w"], config={})': r"True, False or None, got \{'mean_square': \{'a':",
    'keras.write(KERAS, Slots({"w": -np.ones(2)}, count=3), ["w"], config={})': (
        "an optimizer can have, got a mean_square of w with"
    ),
    'keras.write(KERAS, Slots({"w": np.full(2, np.nan)}, count=3), ["w"], config={})': (
        "an optimizer can have, got a mean_square of w with"
    ),
    'keras.write(KERAS, Slots({"w": np.ones(2)}, count=2.5), ["w"], config={})': (
        "from 0 to 2147483647, got 2.5: set it with"
    ),
    "scale.make_mesh(3)": "divide the 8 devices, got 3: choose another number.",
    'scale.make_mesh("2")': "divide the 8 devices, got '2': choose another number.",
}
# A word for the learning rate that is another framework's, and a rate that is negative.
OF_EACH_DIALECT = {
    f"{word} for the rate of {name}": (
        partial(row.constructor, **{word: 0.1}),
        TypeError,
        f"{name} got an unexpected keyword argument '{word}': {name} calls it {row.arguments.learning_rate}",
    )
    for name, row in dialects.TABLE.items()
    if row.arguments.learning_rate
    for word in ["lr" if row.arguments.learning_rate != "lr" else "learning_rate"]
}
OF_EACH_RECIPE = {
    f"a negative rate of {name}": (
        partial(row.constructor, **({"weight_decay_mask": None} if masked else {}), learning_rate=-0.1),
        ValueError,
        "learning_rate must be finite and at least 0, got learning_rate=-0.1: ",
    )
    for name, row in recipes.TABLE.items()
    for masked in ["weight_decay_mask" in inspect.signature(row.constructor).parameters]
}
TABLE = (
    NUMBERS
    | TOGETHER
    | OF_ANOTHER_FRAMEWORK
    | TREES
    | CALLS
    | OF_EACH_DIALECT
    | OF_EACH_RECIPE
    | {line: (partial(command, line), PrintedError, message) for line, message in COMMANDS.items()}
    | {call: (partial(eval, call, globals()), OURS, said) for call, said in WRITTEN.items()}
)


@pytest.mark.parametrize(("call", "error", "message"), TABLE.values(), ids=TABLE)
def test_misuse_is_told(call, error, message):
    with pytest.raises(error, match=message) as raised:
        call()
    home = Path(rmsprop_optax.__file__).parent
    assert error in (PrintedError, UserWarning) or raised.traceback[-1].path.is_relative_to(home)  # the message is ours


def test_every_public_function_is_in_the_table():
    assert len(TABLE) >= 300
    modules = (rmsprop_optax, differences, measure, plots, recipes, scaling, sharding, interop, interop.optax, pytorch)
    modules += (bitsandbytes, tensorflow, keras, layers, layout)
    text = Path(__file__).read_text()
    missing = [
        f"{module.__name__}.{name}"
        for module in modules
        for name in getattr(module, "__all__", ())
        if inspect.isfunction(function := getattr(module, name)) and inspect.signature(function).parameters
        if f"{name}(" not in text and f"{name}," not in text and name not in recipes.TABLE
    ]
    assert missing == []
