"""Runs of PyTorch and what is like it, carried here and back; without PyTorch, from what it wrote."""

import argparse
import copy
import functools
import importlib.util
import json
import os
import pickle
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rmsprop_optax import dialects, interop
from rmsprop_optax.interop import Slots, bitsandbytes, layers, layout, pytorch
from rmsprop_optax.interop._pytorch_rows import _backward

GOLDEN = Path(__file__).with_name("golden")
sys.path.append(str(GOLDEN))
from frameworks import interop_pytorch as there  # noqa: E402

SCHEDULE = jnp.asarray(there.RATES, jnp.float32).__getitem__
BOUND = 1e-5  # 100 steps of float32, in another order of operations


def as_flax(p):
    """With both biases of the recurrent layer kept."""
    ih, hh = (np.split(p[f"gru.weight_{side}_l0"], 3) for side in ("ih", "hh"))
    names = [side + gate for side in "ih" for gate in "rzn"]
    return {
        "conv": {"kernel": p["conv.weight"].transpose(2, 3, 1, 0)},
        "norm": {"scale": p["norm.weight"], "bias": p["norm.bias"]},
        "gru": {
            "bias": np.stack([p["gru.bias_ih_l0"], p["gru.bias_hh_l0"]]),
            **{name: {"kernel": w.T} for name, w in zip(names, ih + hh, strict=True)},
        },
        "head": {"kernel": p["head.weight"].T, "bias": p["head.bias"]},
    }


def layout_of(case):
    """Caution compares an array's entries with each other, so its arrays stay as they are."""
    return dict if "caution" in case else as_flax


def follow(tx, params, state, gradients, convert=as_flax):
    """The parameters and the state that these gradients lead to."""

    def step(carry, g):
        updates, state = tx.update(g, carry[1], carry[0])
        return (optax.apply_updates(carry[0], updates), state), None

    stacked = jax.tree.map(lambda *g: np.stack(g), *map(convert, gradients))
    return jax.jit(lambda *carry: jax.lax.scan(step, carry, stacked)[0])(jax.tree.map(jnp.asarray, params), state)


def error(found, expected):
    """The largest difference, relative to the largest entry of its array."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return max(float(np.max(np.abs(a - np.asarray(b))) / np.max(np.abs(b))) for a, b in pairs)


def dialect_of(case):
    """What the groups alone do not say."""
    return {"sb3": "sb3", "pfrl": "pfrl"}.get(there.CASES[case][0])


def shapes_of(arrays):
    return {name: tuple(x.shape) for name, x in arrays.items()}


# Never having left


@functools.cache
def run(case):
    """200 steps in PyTorch: the parameters before, halfway and after, the state halfway, and all gradients."""
    name, options = there.CASES[case]
    package = {"sb3": "stable_baselines3", "pytorch": "torch"}.get(name, name)
    pytest.importorskip("torch")
    if package not in sys.modules and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    net = there.network()
    opt = there.optimizer(name, net.parameters(), **options)
    parameters = dict(net.named_parameters())
    before = there.arrays(parameters)
    gradients = there.train(net, opt, 0, there.STEPS)
    halfway, state_dict = there.arrays(parameters), copy.deepcopy(opt.state_dict())
    gradients += there.train(net, opt, there.STEPS)
    return before, halfway, state_dict, there.arrays(parameters), gradients


def drive(opt, parameters, gradients, first=None):
    """The same gradients in PyTorch; with the learning rates from a step on, or with those of the groups."""
    import torch

    for step, arrays in enumerate(gradients, first or 0):
        for name, p in parameters.items():
            p.grad = torch.tensor(arrays[name]) if name in arrays else None
        opt.step() if first is None else there.follow(opt, step)


@pytest.mark.parametrize("case", there.CASES)
def test_a_run_goes_on_here_as_if_it_had_never_left(case):
    _, halfway, state_dict, after, gradients = run(case)
    convert = layout_of(case)
    tx = pytorch.optimizer(state_dict, dialect=dialect_of(case), learning_rate=SCHEDULE)
    params = convert(halfway)
    state = interop.write(tx.init(params), pytorch.read(state_dict, halfway, convert))
    found, _ = follow(tx, params, state, gradients[there.STEPS :], convert)
    assert error(found, convert(after)) < BOUND


@pytest.mark.parametrize("case", there.CASES)
def test_a_run_goes_on_there_as_if_it_had_never_left(case):
    before, _, state_dict, after, gradients = run(case)
    convert = layout_of(case)
    tx = pytorch.optimizer(state_dict, dialect=dialect_of(case), learning_rate=SCHEDULE)
    params = convert(before)
    params, state = follow(tx, params, tx.init(params), gradients[: there.STEPS], convert)

    import torch

    parameters = dict(there.network().named_parameters())
    name, options = there.CASES[case]
    opt = there.optimizer(name, parameters.values(), **options)
    opt.load_state_dict(pytorch.write(opt.state_dict(), interop.read(state), parameters, convert))
    with torch.no_grad():
        for name, array in layout.backward(params, shapes_of(parameters), convert).items():
            parameters[name].copy_(torch.tensor(array))
    drive(opt, parameters, gradients[there.STEPS :], there.STEPS)
    assert error(there.arrays(parameters), after) < BOUND


@pytest.mark.parametrize("case", there.RECORDED)
def test_a_recorded_run_goes_on_here_as_if_it_had_never_left(case):
    pytest.importorskip("safetensors")
    checkpoint, key = pytorch.load(GOLDEN / "interop_pytorch.safetensors"), case.replace(" ", "_")
    state_dict = pytorch.find_optimizer(checkpoint, f"{key}.optimizer")
    params = pytorch.parameters(pytorch.find_model(checkpoint, f"{key}.model"))
    gradients = pytorch.find_model(checkpoint, f"{key}.gradients")
    steps = [{name: gradients[f"{step}.{name}"] for name in params} for step in range(there.MORE)]
    tx = pytorch.optimizer(state_dict, learning_rate=SCHEDULE)
    tree = as_flax(params)
    state = interop.write(tx.init(tree), pytorch.read(state_dict, params, as_flax))
    found, state = follow(tx, tree, state, steps)
    after = as_flax(pytorch.find_model(checkpoint, f"{key}.after"))
    assert error(found, after) < 1e-6
    # The steps themselves, which a rate of the wrong step or a forgotten slot would change.
    moved = [jax.tree.map(lambda a, b: np.asarray(a) - b, x, tree) for x in (found, after)]
    assert error(*moved) < 1e-4
    assert interop.read(state).count == there.STEPS + there.MORE


# Groups


def in_groups(parameters, named):
    """Weights with momentum and decay, what has one axis without; the optimizer's order is not that of the model."""
    import torch

    weights = [(name, p) for name, p in parameters.items() if p.ndim > 1]
    others = [(name, p) for name, p in parameters.items() if p.ndim == 1]
    pick = (lambda pairs: pairs) if named else (lambda pairs: [p for _, p in pairs])
    groups = [
        {"params": pick(weights), "momentum": 0.75, "weight_decay": 2.0**-7},
        {"params": pick(others), "lr": 2.0**-8, "alpha": 0.875},
    ]
    return torch.optim.RMSprop(groups, lr=2.0**-7), [name for name, _ in weights + others]


@pytest.mark.parametrize("moved", [np.asarray, np.copy], ids=["views", "copies"])
def test_a_masked_leaf_has_no_array(moved):
    tree = {"w": np.ones((3, 2), np.float32), "b": optax.MaskedNode()}
    found = _backward(tree, {"w": (2, 3), "b": (3,)}, lambda p: {"w": moved(p["w"].T), "b": moved(p["b"])})
    assert {name: array.tolist() for name, array in found.items()} == {"w": [[1, 1, 1], [1, 1, 1]]}


@pytest.mark.parametrize("named", [False, True], ids=["by order", "by param_names"])
def test_groups_become_a_partition_and_groups_again(named):
    *_, gradients = run("pytorch")
    parameters = dict(there.network().named_parameters())
    opt, order = in_groups(parameters, named)
    names = dict(parameters) if named else {name: parameters[name] for name in order}
    drive(opt, parameters, gradients[:10])
    state_dict, params = copy.deepcopy(opt.state_dict()), as_flax(there.arrays(parameters))
    drive(opt, parameters, gradients[10:20])

    tx = pytorch.optimizer(state_dict, None if named else order, as_flax)
    slots = pytorch.read(state_dict, None if named else order, as_flax)
    assert slots.momentum["head"]["bias"] == optax.MaskedNode()
    found, state = follow(tx, params, interop.write(tx.init(params), slots), gradients[10:20])
    assert error(found, as_flax(there.arrays(parameters))) < 1e-6

    other, _ = in_groups(dict(there.network().named_parameters()), named)
    back = pytorch.write(other.state_dict(), interop.read(state), names, as_flax)
    other.load_state_dict(back)
    states = zip(other.state_dict()["state"].values(), opt.state_dict()["state"].values(), strict=True)
    for ours, theirs in states:
        assert ours.keys() == theirs.keys()
        assert error({k: np.asarray(ours[k]) for k in theirs}, {k: np.asarray(x) for k, x in theirs.items()}) < 1e-5


def test_groups_go_on_in_an_nnx_optimizer():
    """As in a plain tree of the same parameters, which the tests above hold against PyTorch."""
    nnx = pytest.importorskip("flax.nnx")
    group = {
        "params": [0],
        "lr": 0.5,
        "alpha": 0.5,
        "eps": 1e-8,
        "momentum": 0.5,
        "centered": False,
        "capturable": False,
    }
    shapes, square = {"weight": (2, 3), "bias": (2,)}, np.float32(4)
    state = {
        i: dict.fromkeys(("square_avg", "momentum_buffer"), np.full(s, square)) for i, s in enumerate(shapes.values())
    }
    state = {i: entry | {"step": np.float32(3)} for i, entry in state.items()}
    state_dict = {"state": state, "param_groups": [group, group | {"params": [1], "lr": 0.25, "weight_decay": 0.5}]}
    tx, slots = pytorch.optimizer(state_dict, shapes, layers.linear), pytorch.read(state_dict, shapes, layers.linear)
    model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    optimizer = interop.write(nnx.Optimizer(model, tx, wrt=nnx.Param), slots)
    params = jax.tree.map(jnp.copy, nnx.to_pure_dict(nnx.state(model, nnx.Param)))
    plain = interop.write(tx.init(params), slots)
    for _ in range(3):
        updates, plain = tx.update(jax.tree.map(jnp.ones_like, params), plain, params)
        params = optax.apply_updates(params, updates)
        optimizer.update(model, jax.tree.map(jnp.ones_like, nnx.state(model, nnx.Param)))
    same = functools.partial(jax.tree.map, np.testing.assert_array_equal)
    same(nnx.to_pure_dict(nnx.state(model, nnx.Param)), params)
    for found in (interop.read(optimizer), interop.read(nnx.state(optimizer))):
        assert found.count == 6
        same(interop.named(found.momentum), interop.named(interop.read(plain).momentum))


def test_a_parameter_without_gradients_has_no_state_until_told_what_it_starts_from():
    *_, gradients = run("pytorch")
    parameters = dict(there.network().named_parameters())
    opt = there.optimizer("pytorch", parameters.values(), momentum=0.75)
    rare = [g if i % 3 else {n: x for n, x in g.items() if n != "head.weight"} for i, g in enumerate(gradients[:9])]
    drive(opt, parameters, [{n: x for n, x in g.items() if n != "head.bias"} for g in rare])
    state_dict = opt.state_dict()
    assert state_dict["state"][list(parameters).index("head.weight")]["step"] == 6
    with pytest.raises(ValueError, match=r"got none of head\.bias, which no gradient has reached: pass initial_scale"):
        pytorch.read(state_dict, parameters)
    with pytest.raises(ValueError, match=r"got no shape of head\.bias"):
        pytorch.read(state_dict, list(parameters), initial_scale=1.0)
    slots = pytorch.read(state_dict, parameters, as_flax, initial_scale=1.0)
    assert slots.count == 9
    np.testing.assert_array_equal(slots.mean_square["head"]["bias"], np.ones(3, np.float32))
    np.testing.assert_array_equal(slots.momentum["head"]["bias"], np.zeros(3, np.float32))


def test_what_is_left_alone_here_has_no_state_there():
    pytest.importorskip("torch")
    parameters = dict(there.network().named_parameters())
    opt = there.optimizer("pytorch", parameters.values(), momentum=0.75)
    params = as_flax(there.arrays(parameters))
    train = jax.tree.map_with_path(lambda path, _: path[0].key != "head", params)
    state = optax.masked(dialects.pytorch(momentum=0.75), train).init(params)
    back = pytorch.write(opt.state_dict(), interop.read(state), parameters, as_flax)
    absent = [name for i, name in enumerate(parameters) if i not in back["state"]]
    assert absent == ["head.weight", "head.bias"]
    opt.load_state_dict(back)
    # One of three gates, which are one parameter there.
    train = jax.tree.map_with_path(lambda path, _: path[1].key != "ir", params)
    state = optax.masked(dialects.pytorch(momentum=0.75), train).init(params)
    with pytest.raises(ValueError, match=r"masked as a whole, got masked parts of gru\.weight_ih_l0"):
        pytorch.write(opt.state_dict(), interop.read(state), parameters, as_flax)


# There and back


@pytest.mark.parametrize("case", ["pytorch momentum", "timm momentum centered"])
def test_read_and_write_are_each_others_inverse(case):
    _, halfway, state_dict, _, _ = run(case)
    back = pytorch.write(state_dict, pytorch.read(state_dict, halfway, as_flax), halfway, as_flax)
    assert back["param_groups"] == state_dict["param_groups"]
    assert back["state"].keys() == state_dict["state"].keys()
    for position, entry in state_dict["state"].items():
        assert back["state"][position].keys() == entry.keys()
        for key, tensor in entry.items():
            other = back["state"][position][key]
            assert other.dtype == tensor.dtype
            assert other.equal(tensor)
            assert other.data_ptr() != tensor.data_ptr()


@pytest.mark.parametrize("kind", ["bfloat16", "float64", "complex64"])
def test_other_dtypes(kind):
    torch = pytest.importorskip("torch")
    dtype = getattr(torch, kind)
    p = torch.nn.Parameter(torch.ones(3, 2, dtype=dtype))
    opt = torch.optim.RMSprop([p], lr=0.5, alpha=0.5, momentum=0.5)
    grad = torch.tensor([[1, -2], [3, 4], [5, 6]]).to(dtype)
    grad = grad * (1 + 2j) if p.is_complex() else grad
    with jax.enable_x64(kind == "float64"):
        tx = pytorch.optimizer(opt.state_dict())
        params = {"p": jnp.ones((3, 2), kind)}
        state = tx.init(params)
        for _ in range(3):
            p.grad = grad.clone()
            opt.step()
            updates, state = tx.update({"p": jnp.asarray(pytorch.to_numpy(grad))}, state, params)
            params = optax.apply_updates(params, updates)
        slots = pytorch.read(opt.state_dict(), {"p": p})
        assert slots.mean_square["p"].dtype == kind
        bound = 0.02 if kind == "bfloat16" else 1e-6
        assert error(slots.mean_square, interop.read(state).mean_square) < bound
        assert error(slots.momentum, interop.read(state).momentum) < bound
        carried = pytorch.write(opt.state_dict(), interop.read(interop.write(state, slots)), {"p": p})
    for back in (carried, pytorch.write(opt.state_dict(), slots, {"p": p})):
        for key in ("square_avg", "momentum_buffer"):
            assert back["state"][0][key].dtype == dtype
            assert back["state"][0][key].equal(opt.state_dict()["state"][0][key])


def test_a_real_parameter_beside_a_complex_one_stays_real():
    torch = pytest.importorskip("torch")
    parameters = {"c": torch.ones(2, dtype=torch.complex64), "r": torch.ones(2)}
    opt = torch.optim.RMSprop([torch.nn.Parameter(p) for p in parameters.values()])
    slots = Slots({"c": np.ones(2, np.complex64), "r": np.ones(2, np.float32)}, count=1)
    back = pytorch.write(opt.state_dict(), slots, parameters)
    assert [entry["square_avg"].dtype for entry in back["state"].values()] == [torch.complex64, torch.float32]


def f64(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s._replace(momentum=None),
            r"no momentum_buffer of conv\.weight, no momentum_buffer of norm\.weight",
        ),
        (lambda s: s._replace(mean=s.mean_square), r"a grad_avg of conv\.weight"),
        (lambda s: s._replace(count=None), r"slots\._replace\(count=…\)"),
        (lambda s: s._replace(count=-1), "got -1"),
        (lambda s: s._replace(mean_square=jax.tree.map(np.negative, s.mean_square)), r"of conv\.weight with negative"),
        (
            lambda s: s._replace(momentum=jax.tree.map(lambda b: b * np.inf, s.momentum)),
            "a momentum of conv.weight with",
        ),
        (
            lambda s: s._replace(mean_square=jax.tree.map(lambda x: x + 1e39, f64(s.mean_square))),
            "1e.39 for float32 up",
        ),
        (lambda s: s._replace(lr_in_momentum=True), r"give the learning_rate of the last step"),
        (lambda s: s._replace(mean_square=s.mean_square | {"more": np.ones(1)}), r"more"),
    ],
    ids=[
        "missing",
        "left over",
        "no count",
        "count",
        "negative",
        "infinite",
        "large",
        "rate in the buffer",
        "another tree",
    ],
)
def test_slots_that_an_optimizer_has_no_place_for_are_refused(change, message):
    _, halfway, state_dict, _, _ = run("pytorch momentum")
    slots = change(pytorch.read(state_dict, halfway, as_flax))
    with pytest.raises(ValueError, match=message):
        pytorch.write(state_dict, slots, halfway, as_flax)


def test_write_rescales_a_buffer_that_holds_the_rate():
    _, halfway, state_dict, _, _ = run("pytorch momentum")
    slots = pytorch.read(state_dict, halfway, as_flax)._replace(lr_in_momentum=True)
    back = pytorch.write(state_dict, slots, halfway, as_flax, learning_rate=0.5)
    expected = state_dict["state"][0]["momentum_buffer"] * 2
    assert back["state"][0]["momentum_buffer"].equal(expected)


def test_write_needs_shapes():
    _, halfway, state_dict, _, _ = run("pytorch")
    with pytest.raises(ValueError, match=r"got no shape of conv\.weight"):
        pytorch.write(state_dict, pytorch.read(state_dict, halfway), list(halfway))


# Wrong input


GROUP = {"lr": 0.5, "alpha": 0.75, "eps": 0.25, "momentum": 0.5, "centered": False, "weight_decay": 0}
SHAPES = {"a": (2, 3), "b": (3,)}


def entry(shape, **slots):
    values = {"square_avg": 4.0, "momentum_buffer": 1.0} | slots
    return {"step": 7} | {key: np.full(shape, x, np.float32) for key, x in values.items() if x is not None}


def state_dict(*, entries=None, groups=None, **group):
    state = {0: entry((2, 3)), 1: entry((3,))} | (entries or {})
    return {"state": state, "param_groups": groups or [GROUP | group | {"params": [0, 1]}]}


def test_the_states_made_by_hand_are_right():
    slots = pytorch.read(state_dict(), SHAPES)
    assert slots.count == 7
    assert not slots.lr_in_momentum
    assert shapes_of(slots.mean_square) == shapes_of(slots.momentum) == SHAPES


BROKEN = {
    "no state": ({"model": {}}, SHAPES, r"must have state and param_groups, got model: find_optimizer"),
    "no names": (state_dict(), None, r"names must be given"),
    "too few names": (state_dict(), ["a"], r"must be those of the 2 parameters of the optimizer, got 1, a"),
    "a name twice": (state_dict(), ["a", "a"], r"name of its own, got a more than once"),
    "other shapes": (state_dict(), {"b": (3,), "a": (2, 3)}, r"square_avg of b with shape \(2, 3\) for \(3,\)"),
    "no square_avg": (state_dict(entries={0: entry((2, 3), square_avg=None)}), SHAPES, r"no square_avg of a"),
    "no buffer": (state_dict(entries={0: entry((2, 3), momentum_buffer=None)}), SHAPES, r"no momentum_buffer of a"),
    "no grad_avg": (state_dict(centered=True), SHAPES, r"no grad_avg of a, no grad_avg of b"),
    "a buffer too many": (state_dict(momentum=0), SHAPES, r"a momentum_buffer of a, which its group does not ask for"),
    "Adadelta": (state_dict(entries={0: entry((2, 3), acc_delta=1.0)}), SHAPES, r"a acc_delta of a"),
    "bitsandbytes": (
        state_dict(entries={0: {"step": 7, "__bnb_optimizer_quant_state__": {"state1": np.ones((2, 3))}}}),
        SHAPES,
        r'got no momentum_buffer of a, .*: for a state of bitsandbytes give dialect="bitsandbytes" \(--dialect\)',
    ),
    "torn slots": (
        state_dict(entries={0: entry((2, 3)) | {"momentum_buffer": np.ones(2)}}),
        SHAPES,
        r"\(2,\) for \(2, 3\)",
    ),
    "a state of nobody": (state_dict(entries={2: entry((1,))}), SHAPES, r"a state of 2 in no group"),
    "a parameter twice": (
        state_dict(groups=[GROUP | {"params": [0, 1]}, GROUP | {"params": [1]}]),
        SHAPES,
        r"a parameter in several groups",
    ),
    "both sides": (
        state_dict(groups=[GROUP | {"params": [i], "lr_in_momentum": bool(i)} for i in range(2)]),
        SHAPES,
        r"lr_in_momentum must be the same in all groups with momentum",
    ),
}


@pytest.mark.parametrize("row", BROKEN)
def test_a_state_that_is_not_what_it_should_be_is_refused(row):
    broken, names, message = BROKEN[row]
    with pytest.raises(ValueError, match=message):
        pytorch.read(broken, names)


def test_names_of_the_groups_decide_the_order():
    named = state_dict(param_names=["a", "b"])
    for names in (None, ["b", "a"], {"b": (3,), "a": (2, 3)}):
        assert shapes_of(pytorch.read(named, names).mean_square) == SHAPES
    assert list(pytorch.read(named, ["x", "y"]).mean_square) == ["x", "y"]


def test_positions_may_be_names():
    groups = [GROUP | {"params": ["net.a", "net.b"]}]
    named = {"state": {"net.a": entry((2, 3)), "net.b": entry((3,))}, "param_groups": groups}
    assert list(pytorch.read(named).mean_square) == ["net.a", "net.b"]


def test_a_fresh_optimizer_has_made_no_steps():
    fresh = {"state": {}, "param_groups": [GROUP | {"params": [0, 1]}]}
    slots = pytorch.read(fresh, SHAPES, initial_scale=1.0)
    assert slots.count == 0
    assert slots.mean_square["a"].tolist() == np.ones((2, 3)).tolist()


# Hyperparameters

MODERN = {"foreach": None, "maximize": True, "differentiable": False, "capturable": False}
TIMM = {"lr_in_momentum": False, "decoupled_decay": True, "corrected_weight_decay": True, "caution": True}
STEPPED = {i: entry(shape) | {"step": np.float32(7)} for i, shape in enumerate(SHAPES.values())}


def test_the_groups_of_pytorch_and_timm_say_whose_they_are():
    [call] = pytorch.calls(state_dict(entries=STEPPED, **MODERN))
    assert call == (
        "dialects.pytorch(lr=0.5, alpha=0.75, eps=0.25, weight_decay=0, momentum=0.5, centered=False, maximize=True)"
    )
    eval(call, {"dialects": dialects})
    [call] = pytorch.calls(state_dict(**TIMM, max_lr_snapshot=2.0), learning_rate=SCHEDULE)
    assert call == (
        "dialects.timm(lr=__getitem__, alpha=0.75, eps=0.25, weight_decay=0, momentum=0.5, centered=False, "
        "decoupled_decay=True, corrected_weight_decay=True, lr_in_momentum=False, caution=True, max_lr=2.0)"
    )


def test_what_timm_ignores_is_left_out():
    [(_, values)] = pytorch.arguments(state_dict(**TIMM | {"momentum": 0, "decoupled_decay": False}))
    assert not {"caution", "corrected_weight_decay", "max_lr"} & values.keys()
    dialects.timm(**values)


@pytest.mark.parametrize(
    ("group", "dialect", "message"),
    [
        ({}, None, r"PyTorch before 2\.4, Stable-Baselines3 or PFRL"),
        (MODERN, None, r"PyTorch before 2\.4, Stable-Baselines3 or PFRL"),  # its steps are integers
        ({"entries": STEPPED}, None, r"PyTorch before 2\.4, Stable-Baselines3 or PFRL"),
        ({}, "keras", r"dialect must be one of pytorch, timm"),
        ({}, "timm", r"must be timm if the groups have lr_in_momentum, else another, got 'timm'"),
        (TIMM, "pytorch", r"must be timm if the groups have lr_in_momentum, else another, got 'pytorch'"),
        (TIMM, None, r"must have max_lr_snapshot"),
    ],
)
def test_a_dialect_is_never_guessed(group, dialect, message):
    with pytest.raises(ValueError, match=message):
        pytorch.arguments(state_dict(**group), dialect=dialect)


def test_groups_of_another_optimizer_are_refused():
    adam = {"state": {}, "param_groups": [{"params": [0], "lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8}]}
    with pytest.raises(ValueError, match=r"a group of RMSprop must have alpha, got the keys params, lr, betas, eps"):
        pytorch.arguments(adam)


def test_learning_rates_for_each_group():
    groups = [GROUP | {"params": [0]}, GROUP | {"params": [1]}]
    given = state_dict(groups=groups)
    rates = [values["lr"] for _, values in pytorch.arguments(given, dialect="sb3", learning_rate=[0.1, 0.2])]
    assert rates == [0.1, 0.2]
    with pytest.raises(ValueError, match=r"one entry for each of 2 groups, got 3"):
        pytorch.arguments(given, dialect="sb3", learning_rate=[0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match=r"a list for groups of different rates, 0\.01, 0\.5, got a single rate"):
        pytorch.arguments(
            state_dict(groups=[groups[0] | {"lr": 0.01}, groups[1] | {"lr": 0.5}]), dialect="sb3", learning_rate=0.1
        )
    # Groups that have become the same need no names.
    assert pytorch.optimizer(given, dialect="sb3").init(jnp.zeros(2))
    with pytest.raises(ValueError, match="names must be given"):
        pytorch.optimizer(given, dialect="sb3", learning_rate=[0.1, 0.2])
    with pytest.raises(ValueError, match="must come from one parameter group"):
        pytorch.optimizer(
            given, SHAPES, lambda p: np.concatenate([p["a"].ravel(), p["b"]]), dialect="sb3", learning_rate=[0.1, 0.2]
        )


@pytest.mark.parametrize("name", ["pytorch", "timm", "sb3", "pfrl"])
def test_the_frameworks_write_what_is_expected_of_them(name):
    *_, state_dict, _, _ = run(
        {"sb3": "sb3 momentum centered weight_decay", "pfrl": "pfrl momentum centered weight_decay"}.get(name, name)
    )
    group = state_dict["param_groups"][0]
    step = pytorch.to_numpy(state_dict["state"][0]["step"])
    assert ("lr_in_momentum" in group, "capturable" in group, step.dtype.kind) == {
        "pytorch": (False, True, "f"),
        "timm": (True, False, "f"),
        "sb3": (False, False, "i"),
        "pfrl": (False, True, "i"),
    }[name]


# Files


def test_a_checkpoint_is_searched():
    optimizer, weights = {"state": {}, "param_groups": []}, {"fc.weight": np.ones(2), "fc.bias": np.ones(1)}
    checkpoint = {"epoch": 3, "state_dict": weights, "optimizer_states": [optimizer], "hyper": {"lr": 0.1}}
    assert pytorch.find_optimizer(checkpoint) is optimizer
    assert pytorch.find_model(checkpoint) == weights
    assert pytorch.find_model(weights) == weights
    two = checkpoint | {"state_dict_ema": weights, "other": {"optimizer": optimizer}}
    assert pytorch.find_model(two, "state_dict_ema") == weights
    assert pytorch.find_optimizer(two, "other.optimizer") is optimizer
    with pytest.raises(ValueError, match=r"got 2, at 'optimizer_states\.0', 'other\.optimizer': choose one"):
        pytorch.find_optimizer(two)
    with pytest.raises(ValueError, match=r"dict of arrays at 'ema', got 2, at 'state_dict', 'state_dict_ema'"):
        pytorch.find_model(two, "ema")
    with pytest.raises(ValueError, match="must have one dict of state and param_groups, got none"):
        pytorch.find_optimizer(weights)


def checkpoint():
    import torch

    return {
        "epoch": 3,
        "args": argparse.Namespace(lr=0.5, opt="rmsproptf"),
        "model": {
            "w": torch.nn.Parameter(torch.arange(6.0).reshape(2, 3).T),
            "half": torch.ones(2, dtype=torch.bfloat16),
        },
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"params": [0], "betas": (0.5, 0)}]},
    }


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_of_torch_save_is_what_was_saved(tmp_path, zipped):
    torch = pytest.importorskip("torch")
    torch.save(checkpoint(), tmp_path / "run.pt", _use_new_zipfile_serialization=zipped)
    found = pytorch.load(tmp_path / "run.pt")
    assert found["args"] == {"lr": 0.5, "opt": "rmsproptf"}
    np.testing.assert_array_equal(found["model"]["w"], np.arange(6.0, dtype=np.float32).reshape(2, 3).T)
    assert found["model"]["half"].dtype == jnp.bfloat16
    assert found["optimizer"]["param_groups"] == [{"params": [0], "betas": (0.5, 0)}]
    assert found["optimizer"]["state"][0]["step"].item() == 3.0


class Code:
    """What would make a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.makedirs, (str(self.path),)


def test_code_in_a_file_is_refused_and_not_run(tmp_path):
    torch = pytest.importorskip("torch")
    trace = tmp_path / "it ran"
    pickle.loads(pickle.dumps(Code(trace)))
    assert trace.exists()
    trace.rmdir()
    torch.save({"optimizer": Code(trace)}, tmp_path / "new.pt")
    torch.save({"optimizer": Code(trace)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps({"optimizer": Code(trace)}, protocol=2))
    for name, what in {
        "new": "os.makedirs",
        "old": "os.makedirs",
        "pickle": "os.makedirs",
        "module": "torch.nn.modules.linear.Linear",
    }.items():
        with pytest.raises(ValueError, match=rf"{name}\.pt must hold tensors, numbers and text, got .*{what}"):
            pytorch.load(tmp_path / f"{name}.pt")
        assert not trace.exists()


def test_a_file_that_is_not_whole_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.ones(1000)}, tmp_path / "whole.pt")
    torch.save({"w": torch.ones(1000)}, tmp_path / "whole_old.pt", _use_new_zipfile_serialization=False)
    np.savez(tmp_path / "arrays.npz", w=np.ones(3))
    whole, old = ((tmp_path / name).read_bytes() for name in ("whole.pt", "whole_old.pt"))
    foreign = {"npz": (tmp_path / "arrays.npz").read_bytes(), "text": b"no checkpoint\n" * 9, "empty": b""}
    for name, content in {"cut": whole[: len(whole) // 2], "cut_old": old[: len(old) // 2], **foreign}.items():
        (tmp_path / f"{name}.pt").write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}\.pt must be a whole file of torch\.save"):
            pytorch.load(tmp_path / f"{name}.pt")
    with pytest.raises(FileNotFoundError):
        pytorch.load(tmp_path / "absent.pt")


def test_a_pytorch_that_runs_code_is_not_asked(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", type("torch", (), {"__version__": "2.5.1+cpu"}))
    (tmp_path / "run.pt").touch()
    with pytest.raises(ImportError, match=r"needs PyTorch 2\.6 or later, got 2\.5\.1\+cpu"):
        pytorch.load(tmp_path / "run.pt")


@pytest.mark.parametrize(("path", "package"), [("run.pt", "torch"), ("run.safetensors", "safetensors")])
def test_a_package_that_is_not_installed_is_named(path, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.chdir(tmp_path)
    Path(path).touch()
    with pytest.raises(
        ImportError, match=f"{path} needs the package {package}, which is not installed: pip install {package}"
    ):
        pytorch.load(path)


def test_safetensors(tmp_path):
    save_file = pytest.importorskip("safetensors.numpy").save_file
    names = ["net.a", "net.b"]
    arrays = {f"model.{n}": np.full(s, 1.5, jnp.bfloat16) for n, s in zip(names, SHAPES.values(), strict=True)}
    arrays |= {f"optimizer.state.{i}.square_avg": np.full(s, i) for i, s in enumerate(SHAPES.values())}
    groups = {"optimizer.param_groups": json.dumps([GROUP | {"params": [0, 1], "param_names": names}])}
    save_file(arrays, tmp_path / "run.safetensors", groups)
    found = pytorch.load(tmp_path / "run.safetensors")
    optimizer = pytorch.find_optimizer(found)
    assert {i: list(entry) for i, entry in optimizer["state"].items()} == {0: ["square_avg"], 1: ["square_avg"]}
    assert optimizer["param_groups"][0]["lr"] == 0.5
    assert {n: x.dtype for n, x in pytorch.parameters(pytorch.find_model(found)).items()} == dict.fromkeys(
        names, jnp.bfloat16
    )

    arrays = {f"state.{name}.square_avg": np.ones(2) for name in names}
    save_file(arrays, tmp_path / "names.safetensors", {"param_groups": json.dumps([{"params": names}])})
    assert list(pytorch.find_optimizer(pytorch.load(tmp_path / "names.safetensors"))["state"]) == names


def test_safetensors_that_are_not_whole_are_refused(tmp_path):
    save_file = pytest.importorskip("safetensors.numpy").save_file
    save_file({"w": np.ones(100)}, tmp_path / "whole.safetensors")
    save_file({"w": np.ones(1)}, tmp_path / "groups.safetensors", {"param_groups": "[{"})
    save_file({"w": np.ones(1), "w.v": np.ones(1)}, tmp_path / "nested.safetensors")
    save_file({"w": np.ones(1)}, tmp_path / "array.safetensors", {"w.param_groups": "[]"})
    save_file({"w": np.ones(1)}, tmp_path / "order.safetensors", {"param_groups": json.dumps([{"params": [0]}])})
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:-8])
    (tmp_path / "text.safetensors").write_text("no checkpoint\n" * 9)
    for name in ("groups", "nested", "array", "order", "cut", "text"):
        with pytest.raises(ValueError, match=rf"{name}\.safetensors must be a whole file of safetensors"):
            pytorch.load(tmp_path / f"{name}.safetensors")
    with pytest.raises(FileNotFoundError):
        pytorch.load(tmp_path / "absent.safetensors")


# bitsandbytes


def quantised(size, block, shape=None):
    rng = np.random.default_rng(size)
    codes = rng.integers(256, size=size).astype(np.uint8)
    qmap = np.sort(rng.uniform(-1, 1, 256)).astype(np.float32)
    absmax = rng.uniform(0, 9, -(-size // block)).astype(np.float32)
    values = np.array([qmap[code] * absmax[i // block] for i, code in enumerate(codes)], np.float32)
    return {"step": 5, "state1": codes.reshape(shape or size), "qmap1": qmap, "absmax1": absmax}, values


def in_bits(*entries):
    group = {"params": list(range(len(entries))), "lr": 0.5, "betas": (0.75, 0.5), "eps": 0.25, "weight_decay": 0.125}
    return {"state": dict(enumerate(entries)), "param_groups": [group | {"alpha": 0.0, "t_alpha": None}]}


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    ("size", "block"), [(100, 256), (256, 256), (4096, 256), (5000, 256), (4096, 2048), (5000, 2048)]
)
def test_eight_bits_are_dequantised(size, block, wrapped):
    coded, values = quantised(size, block, (size // 4, 4))
    if wrapped:
        coded = {"step": 5, "__bnb_optimizer_quant_state__": {k: x for k, x in coded.items() if k != "step"}}
    state = in_bits(coded, {"step": 3, "state1": np.ones(2, np.float32)})
    slots = bitsandbytes.read(state, {"w": (size // 4, 4), "b": (2,)}, lambda p: {"w": p["w"].T, "b": p["b"]})
    np.testing.assert_array_equal(slots.mean_square["w"], values.reshape(-1, 4).T)
    assert (slots.count, slots.momentum, slots.mean) == (5, None, None)


def test_the_dialect_of_bitsandbytes():
    state = bitsandbytes.to_pytorch(in_bits(quantised(100, 256)[0]))
    assert pytorch.calls(state, dialect="bitsandbytes") == [
        "dialects.bitsandbytes(lr=0.5, alpha=0.75, eps=0.25, weight_decay=0.125, momentum=0, centered=False)"
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"absmax1": np.ones(3, np.float32)}, r"256 or 2048 entries, got 256 codes and 3 maxima for 4096 entries"),
        ({"qmap1": np.ones(16, np.float32)}, r"got 16 codes and 16 maxima"),
        ({"state2": np.ones(4096, np.uint8)}, r"the state of parameter 0 must be .*, got a state2"),
        ({"unorm_vec": np.ones(1)}, r"got a unorm_vec: .*; max_unorm"),
        ({"qmap1": None}, r"got no qmap1"),
        ({"state1": None}, r"no state1"),
    ],
)
def test_states_that_are_not_bitsandbytes_rmsprop_are_refused(change, message):
    coded = quantised(4096, 256)[0] | change
    with pytest.raises(ValueError, match=message):
        bitsandbytes.read(in_bits({key: x for key, x in coded.items() if x is not None}), ["w"])


def test_groups_of_pytorch_are_not_bitsandbytes():
    with pytest.raises(ValueError, match=r"a group of bitsandbytes must have betas, got lr, alpha"):
        bitsandbytes.read(state_dict(), SHAPES)


@pytest.fixture
def bnb():
    pytest.importorskip("torch")
    if importlib.util.find_spec("bitsandbytes") is None:
        pytest.skip("bitsandbytes is not installed")
    return importlib.import_module("bitsandbytes")


@pytest.mark.parametrize("bits", [32, 8])
def test_bitsandbytes_live(bnb, bits):
    import torch

    torch.manual_seed(0)
    parameters = {"w": torch.nn.Parameter(torch.randn(90, 50)), "b": torch.nn.Parameter(torch.randn(50))}
    options = {"lr": 2.0**-6, "weight_decay": 2.0**-7, "optim_bits": bits}
    opt = bnb.optim.RMSprop(parameters.values(), **options)
    gradients = [{n: np.asarray(torch.randn(p.shape)) for n, p in parameters.items()} for _ in range(20)]
    drive(opt, parameters, gradients[:10])
    state = opt.state_dict()
    slots = bitsandbytes.read(state, parameters)
    entry = state["state"][0]["__bnb_optimizer_quant_state__"]
    if bits == 8:
        codes = entry["absmax1"], entry["qmap1"]
        expected = bnb.functional.dequantize_blockwise(entry["state1"], absmax=codes[0], code=codes[1], blocksize=256)
    else:
        expected = entry["state1"]
    np.testing.assert_array_equal(slots.mean_square["w"], expected.numpy())

    tx = pytorch.optimizer(bitsandbytes.to_pytorch(state), dialect="bitsandbytes")
    params = there.arrays(parameters)
    found, ours = follow(tx, params, interop.write(tx.init(params), slots), gradients[10:], dict)
    twin = {n: torch.nn.Parameter(torch.tensor(x)) for n, x in params.items()}
    other = bnb.optim.RMSprop(twin.values(), **options)
    other.load_state_dict(bitsandbytes.write(other.state_dict(), slots, parameters))
    drive(other, twin, gradients[10:])
    assert error(found, there.arrays(twin)) < 1e-6
    back = bitsandbytes.read(other.state_dict(), twin)
    assert (back.count, interop.read(ours).count) == (20, 20)
    assert error(back.mean_square, interop.read(ours).mean_square) < 1e-6
    with pytest.raises(ValueError, match="a momentum_buffer of w"):
        bitsandbytes.write(state, slots._replace(momentum=slots.mean_square), parameters)
