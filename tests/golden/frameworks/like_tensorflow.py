"""TensorFlow, its relatives and Keras."""

import collections.abc
import os

import numpy as np

from frameworks.common import CENTERED, MOMENTUM, named, node, product

BASES = [{"decay": 0.875, "epsilon": 2.0**-20}, {"decay": 0.5, "epsilon": 0.25}]


def tf1():
    import tensorflow as tf

    v1 = tf.compat.v1

    def rule(params, steps, **options):
        with tf.Graph().as_default(), v1.Session() as session:
            variables = {name: v1.get_variable(name, initializer=p) for name, p in params.items()}
            feeds = {name: v1.placeholder(p.dtype, p.shape) for name, p in params.items()}
            rate = v1.placeholder(tf.float64, ())
            opt = v1.train.RMSPropOptimizer(rate, **options)
            step = opt.apply_gradients([(feeds[name], variables[name]) for name in params])
            slots = [{n: opt.get_slot(v, key) for n, v in variables.items()} for key in ("rms", "mg", "momentum")]
            slots = [{n: v for n, v in slot.items() if v is not None} for slot in slots]
            session.run(v1.global_variables_initializer())
            for grads, lr in steps:
                session.run(step, {rate: lr} | {feeds[name]: g for name, g in grads.items()})
                yield session.run([variables, *slots])

    return rule, {"float64": product(BASES, [{}, MOMENTUM], [{}, CENTERED])}


def tf_keras_legacy():
    import tensorflow as tf
    from tf_keras.optimizers.legacy import RMSprop

    def rule(params, steps, **options):
        variables = {name: tf.Variable(p) for name, p in params.items()}
        opt = RMSprop(**options)
        for grads, opt.learning_rate in steps:
            opt.apply_gradients([(tf.constant(grads[name]), v) for name, v in variables.items()])
            keys = [key if key in opt.get_slot_names() else None for key in ("rms", "mg", "momentum")]
            yield variables, *({n: opt.get_slot(v, key) for n, v in variables.items() if key} for key in keys)

    base, other = {"rho": 0.875, "epsilon": 2.0**-20}, {"rho": 0.5, "epsilon": 0.25}
    cases = [
        *product([base], [{}, MOMENTUM], [{}, CENTERED]),
        base | {"decay": 0.125},
        base | {"clipnorm": 64.0} | MOMENTUM,
        base | {"clipvalue": 16.0} | CENTERED,
        base | {"global_clipnorm": 64.0},
        base | {"global_clipnorm": 64.0, "decay": 0.125} | MOMENTUM | CENTERED,
        base | {"clipnorm": 32.0, "clipvalue": 16.0},
        other | {"clipvalue": 16.0} | MOMENTUM,
        other,
    ]
    return rule, {"float64": cases}


def sonnet():
    import sonnet
    import tensorflow as tf

    def rule(params, steps, **options):
        variables = {name: tf.Variable(p) for name, p in params.items()}
        opt = sonnet.optimizers.RMSProp(None, **options)
        for grads, opt.learning_rate in steps:
            opt.apply([tf.constant(grads[name]) for name in variables], list(variables.values()))
            yield variables, *(named(params, slot) for slot in (opt.ms, opt.mg, opt.mom))

    return rule, {"float64": product(BASES, [{}, MOMENTUM], [{}, CENTERED])}


def tensorflowjs():
    def rule(params, steps, **options):
        rule.about, every = node("tensorflowjs.js", params, steps, options)
        for found in every:
            yield [{name: np.array(a, np.float32) for name, a in tree.items()} for tree in found]

    # The root of the centered form is NaN where the variance is below epsilon.
    cases = [*product(BASES, [{}, MOMENTUM], [{}, CENTERED]), BASES[0] | MOMENTUM | CENTERED | {"epsilon": 2.0**-60}]
    return rule, {"float32": cases}


def keras2():
    os.environ |= {"KERAS_BACKEND": "theano", "THEANO_FLAGS": "cxx=,floatX=float64,blas__ldflags="}
    from theano.sandbox import rng_mrg

    rng_mrg.MRG_RandomStreams = rng_mrg.MRG_RandomStream  # names that Keras 2 knows from older ones of both
    collections.Iterable = collections.abc.Iterable
    from keras import backend, optimizers

    def rule(params, steps, **options):
        backend.set_floatx("float64")
        variables = {name: backend.variable(p) for name, p in params.items()}
        feeds = [backend.placeholder(p.shape) for p in params.values()]
        opt = optimizers.RMSprop(**options)
        loss = sum(backend.sum(v * feed) for v, feed in zip(variables.values(), feeds, strict=True))
        step = backend.function(feeds, [], updates=opt.get_updates(loss, list(variables.values())))
        for grads, rate in steps:
            backend.set_value(opt.learning_rate, rate)
            step([grads[name] for name in variables])
            trees = variables, named(params, opt.weights[1:])
            yield *({n: backend.get_value(v) for n, v in tree.items()} for tree in trees), {}, {}

    base = {"rho": 0.875, "epsilon": 2.0**-20}
    clipped = {"clipnorm": 64.0}, {"clipvalue": 16.0}, {"clipnorm": 64.0, "clipvalue": 16.0}
    cases = [*product([base], [{}, *clipped], [{}, {"decay": 0.125}]), {"rho": 0.5, "epsilon": 0.25}]
    return rule, {"float64": cases}
