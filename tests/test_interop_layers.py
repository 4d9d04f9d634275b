"""Layers of PyTorch and Keras in Flax: the same outputs, the names and shapes of Linen and nnx, and the way back.

What PyTorch's layers make of an input is recorded (`golden/frameworks/torch_layers.py`); Keras runs beside Flax.
"""

import functools
import inspect
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from references import GOLDEN
from rows import long

from rmsprop_optax.interop import layout, named
from rmsprop_optax.interop._pytorch_file import to_numpy
from rmsprop_optax.interop.layers import (
    batch_stats,
    cell,
    cell_by_gate,
    conv,
    conv_transpose,
    converter,
    depthwise_conv,
    embedding,
    linear,
    linear_after_flatten,
    multi_head_attention,
    norm,
    prefixed,
)

ROUNDING = 2e-5  # float32: sums of up to 30 products of numbers around 1


@functools.cache
def recorded():
    with np.load(GOLDEN / "interop_layers.npz") as file:
        return dict(file)


def case(name):
    """Parameters, buffers, inputs, output."""
    state = prefixed(recorded(), f"{name}/state")
    params = {n: a for n, a in state.items() if not n.startswith("running")}
    inputs = [recorded()[key] for key in (f"{name}/input/{i}" for i in range(3)) if key in recorded()]
    return params, {n: a for n, a in state.items() if n not in params}, inputs, recorded()[f"{name}/output"]


def channels_last(x):
    return np.moveaxis(x, 1, -1)


def check(module, tree, inputs, output, stats=None, *, without_bias=False):
    """The module has parameters of the tree's names and shapes, and makes ``output`` with them."""
    if isinstance(module, nn.Module):
        params = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]
    else:
        params = nnx.state(module, nnx.Param)
    shapes = {name: p.shape for name, p in named(params).items()}
    zeros = {name: jnp.zeros(shape) for name, shape in shapes.items() if without_bias and name.endswith("bias")}
    assert {name: a.shape for name, a in named(tree).items()} == {n: s for n, s in shapes.items() if n not in zeros}
    if isinstance(module, nn.Module):
        values = named(tree) | zeros
        params = jax.tree.unflatten(jax.tree.structure(params), [values[name] for name in shapes])
        module = partial(module.apply, {"params": params, "batch_stats": stats or {}})
    else:
        nnx.update(module, tree | (stats or {}))
    np.testing.assert_allclose(module(*inputs), output, rtol=ROUNDING, atol=ROUNDING)


def abstract(layer, *features, **options):
    """A layer of nnx with shapes for arrays, which is quicker than random ones."""
    return nnx.eval_shape(lambda: layer(*features, **options, rngs=nnx.Rngs(0)))


def flax(name, *features, linen=None, **options):
    """A layer of Flax in Linen and in nnx, which alone takes the number of inputs."""
    return (
        lambda: getattr(nn, linen or name)(*features[1:], **options),
        lambda: abstract(getattr(nnx, name), *features, **options),
    )


def attention(**features):
    options = {"num_heads": 2, "qkv_features": 6}
    linen, _ = flax("MultiHeadDotProductAttention", **options)
    return linen, flax("MultiHeadAttention", in_features=6, decode=False, **options, **features)[1]


def with_linears(stock, gates, use_bias=True, inputs=4):
    """What `cell` describes for nnx."""
    made = abstract(stock, inputs, 3)
    made.dense_i, made.dense_h = (abstract(nnx.Linear, n, 3 * gates, use_bias=use_bias) for n in (inputs, 3))
    return made


def own_lstm():
    """What `cell` describes for Linen."""
    names = {"nn": nn, "jnp": jnp, "functools": functools}
    exec(re.search(r"class LSTMCell.*?(?=\n\n)", inspect.getdoc(cell), re.DOTALL)[0], names)
    return names["LSTMCell"](3)


def nnx_rnn(*options):
    return lambda: nnx.RNN(with_linears(*options))


def linen_bidirectional():
    return nn.Sequential([nn.Bidirectional(nn.RNN(own_lstm()), nn.RNN(own_lstm())) for _ in range(2)])


def nnx_bidirectional():
    cells = [[nnx_rnn(nnx.OptimizedLSTMCell, 4, True, inputs)() for _ in range(2)] for inputs in (4, 6)]
    return nnx.Sequential(*(nnx.Bidirectional(*pair) for pair in cells))


def bidirectional(prefix):
    ways = {"forward": "", "backward": "_reverse"}
    return converter(
        {f"{prefix}{i}/{way}_rnn/cell": (f"*_l{i}{end}", cell) for i in range(2) for way, end in ways.items()}
    )


RUNNING = {"use_running_average": True}
EMBED = (lambda: nn.Embed(7, 4), lambda: abstract(nnx.Embed, 7, 4))
CONV2 = {"strides": 2, "padding": 1, "feature_group_count": 2}
TRANSPOSE2 = {"strides": (2, 2), "padding": [(3, 4), (1, 2)], "kernel_dilation": (2, 2)}
FLATTEN = partial(linear_after_flatten, shape=(4, 2, 3))
FLATTEN1 = partial(linear_after_flatten, shape=(4, 3))
HEADS = partial(multi_head_attention, num_heads=2)
IN_RNN, IN_RNN_BY_GATE = converter({"cell": ("*_l0", cell)}), converter({"cell": ("*_l0", cell_by_gate)})
PYTORCH = [
    ("linear", linear, *flax("Linear", 4, 3, linen="Dense")),
    ("linear_without_bias", linear, *flax("Linear", 4, 3, linen="Dense", use_bias=False)),
    ("flatten", FLATTEN, *flax("Linear", 24, 3, linen="Dense")),
    ("flatten1", FLATTEN1, *flax("Linear", 12, 3, linen="Dense")),
    ("conv1", conv, *flax("Conv", 4, 6, kernel_size=3, padding="VALID")),
    ("conv2", conv, *flax("Conv", 4, 6, kernel_size=(3, 2), **CONV2)),
    ("conv3", conv, *flax("Conv", 2, 3, kernel_size=(3, 2, 1), padding="VALID")),
    ("depthwise", conv, *flax("Conv", 4, 8, kernel_size=(3, 3), padding="VALID", feature_group_count=4)),
    *(
        (
            name,
            partial(conv_transpose, transpose_kernel=t),
            *flax("ConvTranspose", *args, transpose_kernel=t, **options),
        )
        for t in (False, True)
        for name, args, options in (
            ("conv_transpose1", (4, 3), {"kernel_size": (3,), "strides": (2,), "padding": "VALID"}),
            ("conv_transpose2", (4, 3), {"kernel_size": (3, 2), **TRANSPOSE2}),
            ("conv_transpose3", (2, 3), {"kernel_size": (3, 2, 1), "padding": "VALID"}),
        )
    ),
    ("batch_norm", norm, *flax("BatchNorm", 4, **RUNNING)),
    ("layer_norm", norm, *flax("LayerNorm", 4, epsilon=1e-5)),
    ("group_norm", norm, *flax("GroupNorm", 4, 2, epsilon=1e-5)),
    ("instance_norm", norm, *flax("InstanceNorm", 4, epsilon=1e-5)),
    ("rms_norm", norm, *flax("RMSNorm", 4, epsilon=2**-23)),
    ("embedding", embedding, *EMBED),
    ("attention", HEADS, *attention()),
    ("attention_kdim", HEADS, *attention(in_kv_features=4)[:1]),
    ("attention_timm", HEADS, *attention()),
    ("lstm", bidirectional("layers_"), linen_bidirectional),
    ("lstm", bidirectional("layers/"), nnx_bidirectional),
    ("gru", IN_RNN, nnx_rnn(nnx.GRUCell, 3)),
    ("rnn", IN_RNN, nnx_rnn(nnx.SimpleCell, 1)),
    ("lstm_without_bias", IN_RNN, nnx_rnn(nnx.OptimizedLSTMCell, 4, False)),
    ("gru_without_bias", IN_RNN, nnx_rnn(nnx.GRUCell, 3, False)),
    ("rnn_without_bias", IN_RNN, nnx_rnn(nnx.SimpleCell, 1, False)),
    ("lstm_without_bias", IN_RNN_BY_GATE, lambda: nn.RNN(nn.LSTMCell(3)), lambda: nn.RNN(nn.OptimizedLSTMCell(3))),
    ("gru_without_bias", IN_RNN_BY_GATE, lambda: nn.RNN(nn.GRUCell(3))),
    ("rnn_without_bias", IN_RNN_BY_GATE, lambda: nn.RNN(nn.SimpleCell(3))),
]
ROUND_TRIPS = [row[:2] for row in PYTORCH]
PYTORCH = [(name, convert, make) for name, convert, *makes in PYTORCH for make in makes]
IMAGES = ("conv", "depthwise", "batch", "group", "instance", "flatten")
SERIES, IMAGE = (2, 5, 4), (2, 5, 6, 4)
CONV = {"kernel_size": (3, 2), "strides": (2, 2)}
KERAS_HEADS = converter({"out": ("attention_output", linear)} | {n: (n, linear) for n in ("query", "key", "value")})
LSTM, GRU, RNN = (converter({"cell": (f"{name}_cell", cell)}) for name in ("lstm", "gru", "simple_rnn"))
LSTM_BY_GATE, RNN_BY_GATE = (converter({"cell": (f"{name}_cell", cell_by_gate)}) for name in ("lstm", "simple_rnn"))
UNITS = {"units": 3, "return_sequences": True}
KERAS = [
    ("Dense", {"units": 3}, SERIES, linear, *flax("Linear", 4, 3, linen="Dense")),
    ("Conv1D", {"filters": 6, "kernel_size": 3}, SERIES, conv, *flax("Conv", 4, 6, kernel_size=3, padding="VALID")),
    (
        *("Conv2D", {"filters": 6, "groups": 2, **CONV}, IMAGE, conv),
        *flax("Conv", 4, 6, padding="VALID", feature_group_count=2, **CONV),
    ),
    (
        *("DepthwiseConv2D", {"depth_multiplier": 2, "kernel_size": (3, 2)}, IMAGE, depthwise_conv),
        *flax("Conv", 4, 8, kernel_size=(3, 2), padding="VALID", feature_group_count=4),
    ),
    *(
        (
            *("Conv2DTranspose", {"filters": 3, **CONV}, IMAGE, partial(conv_transpose, transpose_kernel=t)),
            *flax("ConvTranspose", 4, 3, padding="VALID", transpose_kernel=t, **CONV),
        )
        for t in (False, True)
    ),
    ("BatchNormalization", {}, IMAGE, norm, *flax("BatchNorm", 4, epsilon=1e-3, **RUNNING)),
    ("LayerNormalization", {}, SERIES, norm, *flax("LayerNorm", 4, epsilon=1e-3)),
    ("GroupNormalization", {"groups": 2}, IMAGE, norm, *flax("GroupNorm", 4, 2, epsilon=1e-3)),
    ("RMSNormalization", {}, SERIES, norm, *flax("RMSNorm", 4)),
    ("Embedding", {"input_dim": 7, "output_dim": 4}, (2, 3), embedding, *EMBED),
    ("MultiHeadAttention", {"num_heads": 2, "key_dim": 3}, (2, 5, 6), KERAS_HEADS, *attention()),
    ("LSTM", UNITS, SERIES, LSTM, lambda: nnx.RNN(abstract(nnx.OptimizedLSTMCell, 4, 3))),
    ("LSTM", UNITS, SERIES, LSTM_BY_GATE, lambda: nn.RNN(nn.LSTMCell(3)), lambda: nn.RNN(nn.OptimizedLSTMCell(3))),
    ("GRU", UNITS, SERIES, GRU, nnx_rnn(nnx.GRUCell, 3)),
    ("SimpleRNN", UNITS, SERIES, RNN, lambda: nnx.RNN(abstract(nnx.SimpleCell, 4, 3))),
    ("SimpleRNN", UNITS, SERIES, RNN_BY_GATE, lambda: nn.RNN(nn.SimpleCell(3))),
]
ROUND_TRIPS += [row[:4] for row in KERAS]
CHOSEN = [(*row[:4], row[4 + i % len(row[4:])]) for i, row in enumerate(KERAS)]  # NNX and Linen in turn
KERAS = [(*row[:4], make) for row in KERAS for make in row[4:]]


@pytest.mark.parametrize(("name", "convert", "make"), PYTORCH, ids=[row[0] for row in PYTORCH])
def test_equals_pytorch(name, convert, make):
    params, buffers, inputs, output = case(name)
    if name.startswith(IMAGES):
        inputs, output = [channels_last(x) for x in inputs], output if output.ndim == 2 else channels_last(output)
    if name.startswith("flatten"):
        inputs = [x.reshape(len(x), -1) for x in inputs]
    stats = batch_stats(buffers) if buffers else None
    check(make(), convert(params), inputs, output, stats, without_bias=convert is IN_RNN_BY_GATE)


@functools.cache
def keras_case(name, shape, **options):
    """Parameters, buffers, inputs, output."""
    layers = pytest.importorskip("keras", reason="Keras is not installed").layers
    rng = np.random.default_rng(0)
    made = getattr(layers, name)
    start = {word: "zeros" for word in inspect.signature(made).parameters if word.endswith("_initializer")}
    layer = made(name="layer", **start, **options)  # all its numbers are replaced, so none is drawn
    x = rng.integers(0, 7, shape) if name == "Embedding" else rng.standard_normal(shape).astype(np.float32)
    inputs = [x, x] if name == "MultiHeadAttention" else [x]
    with jax.numpy_dtype_promotion("standard"):
        layer.build(*(x.shape for x in inputs))
        for variable in layer.weights:
            variable.assign(rng.uniform(0.5, 2, variable.shape))
        output = np.asarray(layer(*inputs))
    states = (layer.trainable_variables, layer.non_trainable_variables)
    return *(prefixed({v.path: np.asarray(v.value) for v in state}, "layer") for state in states), inputs, output


@pytest.mark.parametrize(
    ("name", "options", "shape", "convert", "make"), long(KERAS, CHOSEN), ids=[row[0] for row in KERAS]
)
def test_equals_keras(name, options, shape, convert, make):
    params, buffers, inputs, output = keras_case(name, shape, **options)
    check(make(), convert(params), inputs, output, batch_stats(buffers) if name == "BatchNormalization" else None)


@pytest.mark.parametrize("row", ROUND_TRIPS, ids=lambda row: row[0])
def test_slots_go_forward_and_back(row):
    params, convert = case(row[0])[0] if len(row) == 2 else keras_case(row[0], row[2], **row[1])[0], row[-1]
    tree = layout.forward(params, convert)
    back = layout.backward(tree, {n: p.shape for n, p in params.items()}, convert)
    assert list(back) == list(params)
    jax.tree.map(np.testing.assert_array_equal, back, params)
    brief = convert({n: jnp.asarray(p.astype(jnp.bfloat16)) for n, p in params.items()})
    assert {(isinstance(a, jax.Array), str(a.dtype)) for a in jax.tree.leaves(brief)} == {(True, "bfloat16")}
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b.astype(jnp.bfloat16)), brief, tree)


def test_a_gru_of_keras_without_biases_has_the_same_kernels():
    kernels = {name: np.arange(9.0 * n).reshape(n, 9) for name, n in (("kernel", 4), ("recurrent_kernel", 3))}
    biased = cell(kernels | {"bias": np.ones((2, 9))})
    expected = {side: {"kernel": leaves["kernel"]} for side, leaves in biased.items()}
    jax.tree.map(np.testing.assert_array_equal, cell(kernels), expected)


def test_a_module_gives_its_parameters_and_its_statistics():
    """With PyTorch's own buffers after two batches of 24 entries a channel, and Flax's after the same."""
    torch = pytest.importorskip("torch")
    module, flax = torch.nn.BatchNorm2d(3), nnx.BatchNorm(3, momentum=0.9, rngs=nnx.Rngs(0))
    images = np.random.default_rng(0).normal(1, 2, (2, 4, 3, 2, 3)).astype(np.float32)
    for batch in images:
        module(torch.tensor(batch))
        flax(jnp.asarray(channels_last(batch)))
    whole = {f"bn1.{name}": tensor for name, tensor in module.state_dict(keep_vars=True).items()}
    state = prefixed(whole, "bn1")
    params = {name: state[name] for name in ("weight", "bias")}
    assert {type(a) for a in norm(state).values()} == {np.ndarray}
    jax.tree.map(np.testing.assert_array_equal, converter({"bn": ("bn1", norm)})(whole)["bn"], norm(params))
    stats = batch_stats(state, entries=24)
    np.testing.assert_allclose(stats["mean"], flax.mean[...], rtol=1e-6)
    left = 0.9**2 / 24  # of the 1 that both start from
    np.testing.assert_allclose(stats["var"] + left, flax.var[...], rtol=1e-6)
    back = batch_stats(stats, entries=24)
    assert list(back) == ["running_mean", "running_var"]
    for name, array in (batch_stats(batch_stats(state)) | {}).items():
        np.testing.assert_array_equal(array, state[name])
        np.testing.assert_allclose(back[name], state[name], rtol=1e-6)


def test_tensors_are_arrays():
    torch = pytest.importorskip("torch")
    for module, layer in (
        (torch.nn.Linear(3, 2), linear),
        (torch.nn.Conv2d(3, 2, 5, dtype=torch.bfloat16), conv),
        (torch.nn.Embedding(5, 3), embedding),
        (torch.nn.MultiheadAttention(4, 2), partial(multi_head_attention, num_heads=2)),
        (torch.nn.LSTMCell(4, 3), cell),
    ):
        tensors = dict(module.named_parameters())
        arrays = {name: to_numpy(tensor) for name, tensor in tensors.items()}
        found, want = (
            converter({"": ("layer", layer)})({f"layer.{n}": x for n, x in p.items()}) for p in (tensors, arrays)
        )
        jax.tree.map(np.testing.assert_array_equal, found, want)
        assert {type(leaf) for leaf in jax.tree.leaves(found)} == {np.ndarray}


def test_blocks_arrays_and_numbers_in_a_table():
    block = converter({"fc": ("fc", linear), "fc/norm": ("ln", norm)})
    table = {"cls": "cls_token", **{f"blocks/{i}": (f"blocks.{i}", block) for i in range(11)}}
    shapes = {"fc.weight": (3, 2), "ln.weight": (3,)}
    arrays = {f"blocks.{i}.{n}": np.full(s, i) for i in range(11) for n, s in shapes.items()} | {
        "cls_token": np.ones(2)
    }
    tree = layout.forward(arrays, converter(table))
    assert tree["cls"] is arrays["cls_token"]
    assert {i: (b["fc"]["kernel"].max(), b["fc"]["norm"]["scale"].max()) for i, b in tree["blocks"].items()} == {
        i: (i, i) for i in range(11)
    }
    whole = converter({"": ("module", converter(table))})({f"module.{n}": a for n, a in arrays.items()})
    jax.tree.map(np.testing.assert_array_equal, whole, tree)


W, B = np.zeros((12, 4)), np.zeros(12)
TWO_BIASES = {"weight_ih": W, "weight_hh": np.zeros((12, 3)), "bias_ih": B, "bias_hh": B}
KERAS_GRU = {"kernel": np.zeros((4, 9)), "recurrent_kernel": np.zeros((3, 9)), "bias": np.zeros(9)}
FC = {"fc.weight": W, "fc.bias": B}


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (lambda: linear({"weight": W, "gamma": B}), "only takes weight, kernel, bias, got gamma"),
        (lambda: linear({"weight": np.zeros((1, 2, 3))}), "axes"),
        (lambda: linear_after_flatten({"weight": W}, shape=(3, 2, 2)), "reshape"),
        (lambda: multi_head_attention({"bias_k": B}, num_heads=2), "bias_k has no place in Flax's attention"),
        (lambda: cell(TWO_BIASES | {"weight_hr": W}), "no place for weight_hr"),
        (lambda: cell_by_gate(TWO_BIASES), "slots cannot be joined: keep both in your own cell"),
        (lambda: cell(KERAS_GRU), "reset_after=False"),
        (lambda: batch_stats({"num_batches_tracked": B}), "num_batches_tracked"),
        (lambda: converter({"a": ("fc", linear), "b": ("fc2", linear)})(FC), "got no arrays of fc2: leave out buffers"),
        (lambda: converter({"a": ("fc", linear)})(FC | {"f.c": B, "fc2.weight": W}), "no layer for f.c, fc2.weight"),
        (lambda: converter({"a": ("f", linear), "b": "gain"})(FC), "no arrays of f, gain and no layer for fc.weight"),
        (
            lambda: converter({"a": ("fc", norm), "b": "c"})(FC | {"fc.d": B, "c": B}),
            "fc: this layer only takes .*, got d",
        ),
        (lambda: converter({"a": ("fc", linear), "a/bias": "gain"})(FC | {"gain": B}), "gain: .* got bias from two"),
        (
            lambda: layout.forward(FC, converter({"a": ("fc", linear), "b": ("fc", linear)})),
            "got no place or several for fc.weight",
        ),
    ],
)
def test_what_is_refused(refused, message):
    with pytest.raises(ValueError, match=message):
        refused()
