"""What a person gets wrong, and what they are told: what must hold, what came, the likely mend."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rmsprop_optax import (
    dialects,
    float32_updates,
    nesterov_eval_params,
    rmsprop,
    scale_by_gains,
    scale_by_rms,
    storage,
    with_remainder,
    with_storage,
)
from rmsprop_optax.measure import measured

one, three = jnp.ones(1), jnp.ones(3)
PARAMS = {"w": jnp.ones((2, 3)), "b": jnp.ones(3)}
OTHER = {"a": one}
EIGHT_BITS = storage.PerLeaf(lambda path, leaf: "uint8")


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
    "gains off 1": (partial(scale_by_gains, minimum=2.0), ValueError, "1 between them.*minimum=2.0"),
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
        partial(scale_by_rms, initial_scale=1.0, bias_correction=True),
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
        "storage must be None, one of float32, bfloat16, uint8, a tree .*, got storage='int4'",
    ),
    "no storage": (
        partial(rmsprop, 0.1, storage={}),
        ValueError,
        "storage must be None, one of .*, a tree of these .*={}",
    ),
    "a dtype for a storage": (partial(rmsprop, 0.1, storage=jnp.bfloat16), ValueError, "got storage=<class .*bfloat16"),
    "a momentum in 8 bits": (
        partial(rmsprop, 0.1, momentum=0.9, momentum_storage="uint8"),
        ValueError,
        "momentum_storage must be None, one of float32, bfloat16, .* got momentum_storage='uint8'",
    ),
    "an unsigned storage chosen for momentum": (
        lambda: rmsprop(0.1, momentum=0.9, momentum_storage=EIGHT_BITS).init(PARAMS),
        ValueError,
        r"momentum_storage of \['b'\] must be None, one of float32, bfloat16, ",
    ),
    "an unsigned storage chosen for a dialect's momentum": (
        lambda: with_storage(dialects.pytorch(momentum=0.9), momentum_storage=EIGHT_BITS).init(PARAMS),
        ValueError,
        r"momentum_storage of \['b'\] must be None, one of float32, bfloat16, ",
    ),
    "another unknown storage": (partial(with_storage, rmsprop(0.1), "int4"), ValueError, "got storage='int4'"),
    "another momentum in 8 bits": (
        partial(with_storage, rmsprop(0.1), momentum_storage="uint8"),
        ValueError,
        "got momentum_storage='uint8'",
    ),
    "a choice that is no format": (
        lambda: rmsprop(0.1, storage=storage.PerLeaf(lambda path, leaf: 8)).init(PARAMS),
        ValueError,
        r"storage of \['b'\] must be None, one of .* got storage of \['b'\]=8",
    ),
    "a complex momentum in bfloat16": (
        lambda: rmsprop(0.1, momentum=0.9, momentum_storage="bfloat16").init({"z": jnp.ones(2, "complex64")}),
        TypeError,
        r"momentum_storage of \['z'\]='bfloat16' holds real numbers, got complex64: choose None",
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
        "storage must be None, one of .* got storage=Gradient",
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
        r"must have 3 parts, one for each link, got 2: call state = init\(params\).*interop.transfer",
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
    "a storage tree of others": (
        lambda: rmsprop(0.1, storage={"a": "uint8"}).init(PARAMS),
        ValueError,
        r"storage must be a tree of names that is a prefix of the parameters, got storage=\{'a': 'uint8'\}.*PerLeaf",
    ),
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
        "must be a rmsprop_optax.ScaleByRmsState, got optax.ScaleByAdamState: .*interop.optax",
    ),
    "a state without the momentum": (
        partial(update, state=rmsprop(0.1).init(PARAMS), momentum=0.9),
        TypeError,
        "must have 4 parts, one for each link, got 3: .*interop.transfer",
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
TABLE = NUMBERS | TOGETHER | OF_ANOTHER_FRAMEWORK | TREES | CALLS


@pytest.mark.parametrize(("call", "error", "message"), TABLE.values(), ids=TABLE)
def test_misuse_is_told(call, error, message):
    with pytest.raises(error, match=message):
        call()
