"""Frameworks of their own."""

import itertools
import os
import sys
import types

import numpy as np

from frameworks.common import CENTERED, DECAY, MOMENTUM, lone, named, node, product, whole


def paddle():
    import paddle

    def rule(params, steps, **options):
        tensors = {name: paddle.create_parameter(p.shape, str(p.dtype)) for name, p in params.items()}
        opt = paddle.optimizer.RMSProp(steps[0][1], parameters=list(tensors.values()), **options)
        for name, tensor in tensors.items():
            tensor.set_value(params[name])
        for grads, rate in steps:
            opt.set_lr(rate)
            for name, tensor in tensors.items():
                tensor.grad = paddle.to_tensor(grads[name])
            opt.step()
            state, mean = opt.state_dict(), "mean_grad" if options.get("centered") else None
            keys = ("mean_square", mean, "momentum")
            yield tensors, *({n: state[f"{t.name}_{key}_0"] for n, t in tensors.items() if key} for key in keys)

    base = {"rho": 0.875, "epsilon": 2.0**-20}
    return rule, {"float64": product([base], [{}, MOMENTUM], [{}, CENTERED], [{}, DECAY])}


def mindspore():
    import mindspore as ms

    def rule(params, steps, **options):
        # Its kernel takes a reciprocal root of 12 bits for every full eight entries of an array, so these have three.
        def rows(tree):
            return {f"{name}.{i}": row for name, a in tree.items() for i, row in enumerate(a.reshape(-1, 3))}

        tensors = [ms.Parameter(row, name=name) for name, row in rows(params).items()]
        opt = ms.nn.RMSProp(tensors, learning_rate=[rate for _, rate in steps], **options)
        for grads, _ in steps:
            opt(tuple(map(ms.Tensor, rows(grads).values())))
            trees = [tensors, opt.ms, opt.mg if options.get("centered") else (), opt.moment]
            yield [tree and whole(params, np.concatenate([t.asnumpy() for t in tree])) for tree in trees]

    base = {"decay": 0.875, "epsilon": 2.0**-20}
    return rule, {"float32": product([base], [{}, MOMENTUM], [{}, CENTERED], [{}, DECAY])}


def mlx():
    import mlx.core as mx
    from mlx.optimizers import RMSprop

    def rule(params, steps, **options):
        mx.set_default_device(mx.cpu)
        arrays = {name: mx.array(p, mx.float64) for name, p in params.items()}
        opt = RMSprop(steps[0][1], **options)
        for grads, opt.learning_rate in steps:
            arrays = opt.apply_gradients({name: mx.array(g, mx.float64) for name, g in grads.items()}, arrays)
            yield arrays, {name: opt.state[name]["v"] for name in arrays}, {}, {}

    return rule, {"float64": [{"alpha": 0.875, "eps": 2.0**-20}, {"alpha": 0.5, "eps": 0.25}]}


def run_chainer(optimizer, keys):
    import chainer

    def rule(params, steps, **options):
        link = chainer.Link()
        with link.init_scope():
            for name, p in params.items():
                setattr(link, name, chainer.Parameter(p.copy()))
        variables = {name: getattr(link, name) for name in params}
        opt = optimizer(**options).setup(link)
        for grads, opt.lr in steps:
            for name, variable in variables.items():
                variable.grad = grads[name]
            opt.update()
            slots = ({n: v.update_rule.state[key] for n, v in variables.items() if key} for key in keys)
            yield {name: v.array for name, v in variables.items()}, *slots

    return rule


def chainer():
    from chainer.optimizers import RMSprop

    cases = product([{"alpha": 0.875, "eps": 2.0**-20}], [{}, {"eps_inside_sqrt": True}])
    return run_chainer(RMSprop, ("ms", None, None)), {"float64": [*cases, {}]}


def chainer_graves():
    from chainer.optimizers import RMSpropGraves

    bases = [{"alpha": 0.875, "eps": 2.0**-20}, {"alpha": 0.5, "eps": 0.25}]
    cases = product(bases, [{"momentum": 0.75}, {"momentum": 0.0}])
    return run_chainer(RMSpropGraves, ("n", "g", "delta")), {"float64": [*cases, {}]}


def mxnet():
    import mxnet as mx

    def rule(params, steps, **options):
        arrays = {name: mx.nd.array(p, dtype=p.dtype) for name, p in params.items()}
        opt = mx.optimizer.RMSProp(**options)
        # It makes float32 buffers, which its own operators refuse beside a float64 parameter.
        state = {name: [s.astype(a.dtype) for s in opt.create_state(name, a)] for name, a in arrays.items()}
        for grads, rate in steps:
            opt.set_learning_rate(rate)
            for name, g in grads.items():
                opt.update(name, arrays[name], mx.nd.array(g, dtype=g.dtype), state[name])
            trees = arrays, *(dict(zip(state, slot, strict=True)) for slot in zip(*state.values(), strict=True))
            found = [{name: a.asnumpy() for name, a in tree.items()} for tree in trees]
            yield [*found, {}, {}][:4]

    base = {"gamma1": 0.875, "epsilon": 2.0**-20}
    graves = base | {"gamma2": 0.75, "centered": True}
    cases = [
        *product([base, graves], [{}, {"wd": 2.0**-7}], [{}, {"clip_gradient": 16.0}]),
        base | {"clip_weights": 1.75},
        graves | {"clip_weights": 1.75, "wd": 2.0**-7, "clip_gradient": 16.0},
        {"gamma1": 0.5, "gamma2": 0.25, "epsilon": 0.25, "centered": True},
    ]
    return rule, {"float64": cases}


def trax():
    import jax

    jax.config.update("jax_enable_x64", True)
    sys.modules["tensorflow_datasets"] = types.ModuleType("tensorflow_datasets")  # only for its input pipelines
    optimizer = lone("trax.optimizers.rms_prop").RMSProp

    def rule(params, steps, **options):
        weights = [jax.numpy.asarray(p) for p in params.values()]
        opt = optimizer(**options)
        slots, numbers = opt.tree_init(weights)
        for i, (grads, numbers["learning_rate"]) in enumerate(steps):
            given = [jax.numpy.asarray(grads[name]) for name in params]
            weights, slots, _ = opt.tree_update(i, given, weights, slots, numbers)
            yield named(params, weights), named(params, slots), {}, {}

    base = {"gamma": 0.875, "eps": 2.0**-20}
    return rule, {"float64": [base, base | {"clip_grad_norm": 64.0}, {"gamma": 0.5, "eps": 0.25}, {}]}


def lasagne():
    os.environ["THEANO_FLAGS"] = "cxx=,floatX=float64,blas__ldflags="
    import theano

    rmsprop = lone("lasagne.updates").rmsprop

    def rule(params, steps, **options):
        variables = [theano.shared(p) for p in params.values()]
        feeds, rate = [v.type() for v in variables], theano.tensor.scalar()
        updates = rmsprop(feeds, variables, rate, **options)
        step = theano.function([*feeds, rate], [], updates=updates)
        slots = [v for v in updates if v not in variables]
        for grads, lr in steps:
            step(*(grads[name] for name in params), lr)
            yield *(named(params, [v.get_value() for v in tree]) for tree in (variables, slots)), {}, {}

    return rule, {"float64": [{"rho": 0.875, "epsilon": 2.0**-20}, {"rho": 0.5, "epsilon": 0.25}, {}]}


def climin():
    from climin import RmsProp

    def rule(params, steps, **options):
        def flat(tree):
            return np.concatenate([tree[name].ravel() for name in params])

        gradients = iter([flat(grads) for grads, _ in steps])
        opt = RmsProp(flat(params), lambda _: next(gradients), steps[0][1], **options)
        iterations = iter(opt)
        for (_, now), (_, then) in itertools.pairwise([*steps, steps[-1]]):
            next(iterations)
            yield whole(params, opt.wrt), whole(params, opt.moving_mean_squared), {}, whole(params, opt.step)
            opt.step_rate = opt.step_rate * (then / now)  # keeps what `step_adapt` made of each entry's rate

    limits = {"step_rate_min": 2.0**-8, "step_rate_max": 2.0**-6}
    adapt = [{}, {"step_adapt": 0.125}, {"step_adapt": 0.125} | limits]
    return rule, {"float64": [*product([{"decay": 0.875}], [{}, MOMENTUM], adapt), {}]}


def river():
    from river import optim

    def rule(params, steps):
        arrays, optimizers = {n: p.copy() for n, p in params.items()}, {name: optim.RMSProp() for name in params}
        for grads, rate in steps:
            for name, opt in optimizers.items():
                opt.lr = optim.schedulers.Constant(rate)
                arrays[name] = opt.step(arrays[name], grads[name])
            yield {n: a.copy() for n, a in arrays.items()}, {n: o.g2 for n, o in optimizers.items()}, {}, {}

    return rule, {"float64": [{}]}


def brainjs():
    def rule(params, steps, **options):
        rule.about, every = node("brainjs.js", params, steps, options)
        for weights, squares in every:
            yield *({n: np.reshape(a, params[n].shape) for n, a in tree.items()} for tree in (weights, squares)), {}, {}

    bases = [{"decayRate": 0.875, "smoothEps": 2.0**-20}, {"decayRate": 0.5, "smoothEps": 0.25}]
    return rule, {"float64": [*product(bases, [{}, {"regc": 2.0**-7}], [{}, {"clipval": 16.0}]), {}]}


def run_nnabla(solver, keys):
    import nnabla as nn

    def rule(params, steps, weight_decay=None, **options):
        variables = {name: nn.Variable(p.shape, need_grad=True) for name, p in params.items()}
        for name, variable in variables.items():
            variable.d = params[name]
        opt = solver(**options)
        opt.set_parameters(variables)
        for grads, rate in steps:
            opt.set_learning_rate(rate)
            for name, variable in variables.items():
                variable.g = grads[name]
            if weight_decay is not None:
                opt.weight_decay(weight_decay)
            opt.update()
            states = {name: state.pstate for name, state in opt.get_states().items()}
            slots = ({name: state[key].d for name, state in states.items() if key} for key in keys)
            yield {name: variable.d for name, variable in variables.items()}, *slots

    return rule


def nnabla():
    import nnabla.solvers

    cases = product([{"decay": 0.875, "eps": 2.0**-20}], [{}, DECAY])
    return run_nnabla(nnabla.solvers.RMSprop, ("v", "", "")), {"float32": [*cases, {}]}


def nnabla_graves():
    import nnabla.solvers

    cases = product([{"decay": 0.875, "eps": 2.0**-20}], [{"momentum": 0.75}, {"momentum": 0.0}])
    return run_nnabla(nnabla.solvers.RMSpropGraves, ("n", "g", "d")), {"float32": [*cases, {}]}


def levanter():
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.tree_map = jax.tree.map  # Levanter's rule calls it; the jax that Levanter requires has it no longer
    sys.modules["levanter.tracker"] = types.ModuleType("levanter.tracker")  # only for its logs
    config = lone("levanter.optim.rmsprop").RMSPropMomentumConfig

    def rule(params, steps, **options):
        rates = jax.numpy.asarray([rate for _, rate in steps])

        class Config(config):
            def lr_scheduler(self, num_train_steps):
                return lambda count: rates[count]

        tx = Config(default_weight_decay_mask=False, **options).build(len(steps))
        params = jax.tree.map(jax.numpy.asarray, params)
        state = tx.init(params)
        for grads, _ in steps:
            updates, state = tx.update(jax.tree.map(jax.numpy.asarray, grads), state, params)
            params = jax.tree.map(jax.numpy.add, params, updates)
            (kept,) = (s for s in state.inner_state if hasattr(s, "mean_square"))
            yield params, kept.mean_square, {}, kept.momentum

    base = {"beta1": 0.75, "beta2": 0.875, "eps": 2.0**-20}
    return rule, {"float64": [*product([base], [{}, {"max_grad_norm": None}], [{}, {"weight_decay": 0.0}]), {}]}
