"""A small network that TensorFlow trains, for `tests/test_interop_tensorflow.py`: live, and recorded.

    python tests/golden/frameworks/interop_tensorflow.py

writes `interop_tensorflow.npz` one folder up, with the checkpoint of each case after 100 steps, the gradients of 5 more
steps, and where those led; and `interop_tensorflow.h5`, a model that tf.keras saved with its legacy optimizer. It needs
tensorflow-cpu and tf-keras.
"""

import functools
import importlib.metadata
import json
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from frameworks.common import CENTERED, DECAY, MOMENTUM, product

STEPS, MORE = 100, 5
RATES = (0.003 * 0.99 ** np.arange(2 * STEPS)).tolist()

CASES = {
    f"{name}{''.join(f' {key}' for key in options)}": (name, options)
    for name, cases in {
        "tf1": product([{}, MOMENTUM], [{}, CENTERED]),
        "tf_keras_legacy": product([{}, MOMENTUM], [{}, CENTERED]),
        "keras": [{}, MOMENTUM | CENTERED | DECAY],
    }.items()
    for options in cases
}
"""What the test calls it → the dialect, and its options."""

SHAPES = {
    "conv_kernel": (3, 3, 1, 4),
    "conv_bias": (4,),
    "norm_gamma": (4,),
    "norm_beta": (4,),
    "rnn_kernel": (16, 6),
    "rnn_recurrent": (6, 6),
    "rnn_bias": (6,),
    "head_kernel": (6, 3),
    "head_bias": (3,),
}


def start():
    rng = np.random.default_rng(0)
    return {name: (rng.standard_normal(shape) / 4).astype("float32") for name, shape in SHAPES.items()}


def loss(p, images, labels):
    """A convolution, a normalisation, a recurrent and a linear layer."""
    import tensorflow as tf

    x = tf.nn.conv2d(images, p["conv_kernel"], 1, "SAME") + p["conv_bias"]
    mean, variance = tf.nn.moments(x, [0, 1, 2])
    x = tf.nn.relu((x - mean) * tf.math.rsqrt(variance + 1e-3) * p["norm_gamma"] + p["norm_beta"])
    x = tf.reshape(tf.nn.avg_pool2d(x, 2, 2, "VALID"), (-1, 4, 16))
    h = tf.zeros((len(images), 6))
    for t in range(4):
        h = tf.tanh(x[:, t] @ p["rnn_kernel"] + h @ p["rnn_recurrent"] + p["rnn_bias"])
    logits = h @ p["head_kernel"] + p["head_bias"]
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


@functools.cache
def gradient():
    import tensorflow as tf

    @tf.function
    def function(p, images, labels):
        with tf.GradientTape() as tape:
            tape.watch(p)
            value = loss(p, images, labels)
        return tape.gradient(value, p)

    return function


def batch(step):
    rng = np.random.default_rng(step)
    images = rng.standard_normal((16, 8, 8, 1)).astype("float32")
    return images, (images[:, :4].sum((1, 2, 3)) > 0).astype("int32") + rng.integers(0, 2, 16, "int32")


class TensorFlow1:
    """A session with RMSPropOptimizer."""

    def __init__(self, params, **options):
        import tensorflow as tf

        v1 = tf.compat.v1
        self.session = v1.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            with v1.variable_scope("net"):
                self.variables = {name: v1.get_variable(name, initializer=p) for name, p in params.items()}
            self.feeds = {name: v1.placeholder("float32", p.shape) for name, p in params.items()}
            self.rate = v1.placeholder("float32", ())
            optimizer = v1.train.RMSPropOptimizer(self.rate, decay=0.875, epsilon=2.0**-20, **options)
            pairs = [(self.feeds[name], v) for name, v in self.variables.items()]
            self.update = optimizer.apply_gradients(pairs, global_step=v1.train.get_or_create_global_step())
            self.saver, self.all = v1.train.Saver(), v1.global_variables()
            self.session.run(v1.global_variables_initializer())

    def params(self):
        return self.session.run(self.variables)

    def step(self, grads, rate):
        self.session.run(self.update, {self.rate: rate} | {self.feeds[name]: g for name, g in grads.items()})

    def checkpoint(self, folder):
        with self.session.graph.as_default():
            return self.saver.save(self.session, f"{folder}/model.ckpt")

    def entries(self):
        return {v.op.name: self.session.run(v) for v in self.all}

    def restore(self, params, entries):
        with self.session.graph.as_default():
            for v in self.all:
                v.load(entries[v.op.name], self.session)
            for name, v in self.variables.items():
                v.load(params[name], self.session)


class TfKeras:
    """Variables with an optimizer of tf.keras."""

    def __init__(self, params, legacy, **options):
        import tensorflow as tf
        import tf_keras

        make = tf_keras.optimizers.legacy.RMSprop if legacy else tf_keras.optimizers.RMSprop
        self.variables = {name: tf.Variable(p, name=name) for name, p in params.items()}
        self.optimizer = make(rho=0.875, epsilon=2.0**-20, **options)
        self.legacy = legacy
        if legacy:
            self.optimizer._create_all_weights(list(self.variables.values()))
        else:
            self.optimizer.build(list(self.variables.values()))

    def params(self):
        return {name: v.numpy() for name, v in self.variables.items()}

    def step(self, grads, rate):
        self.optimizer.learning_rate = rate
        self.optimizer.apply_gradients([(grads[name], v) for name, v in self.variables.items()])

    def checkpoint(self, folder):
        import tensorflow as tf

        return tf.train.Checkpoint(optimizer=self.optimizer, **self.variables).save(f"{folder}/model.ckpt")

    def weights(self):
        return self.optimizer.weights if self.legacy else self.optimizer.variables

    def restore(self, params, weights):
        self.optimizer.set_weights(weights)
        for name, v in self.variables.items():
            v.assign(params[name])


def runner(case, params):
    name, options = CASES[case]
    return TensorFlow1(params, **options) if name == "tf1" else TfKeras(params, name != "keras", **options)


def train(run, first, last):
    """Train from step to step, and return each step's gradients; the learning rate changes every time."""
    gradients = []
    for step in range(first, last):
        found = gradient()(run.params(), *batch(step))
        gradients.append({name: g.numpy() for name, g in found.items()})
        run.step(gradients[-1], RATES[step])
    return gradients


def keras_file(path, legacy=True):
    """A model after a few steps with an optimizer of tf.keras, saved as its users do."""
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    layers = [
        tf_keras.Input((3,)),
        tf_keras.layers.Dense(4, "relu", name="hidden"),
        tf_keras.layers.Dense(2, name="out"),
    ]
    net = tf_keras.Sequential(layers)
    make = tf_keras.optimizers.legacy.RMSprop if legacy else tf_keras.optimizers.RMSprop
    net.compile(make(0.01, **MOMENTUM, **CENTERED, **({"decay": 0.5} if legacy else {})), loss="mse")
    rng = np.random.default_rng(0)
    net.fit(rng.standard_normal((40, 3)), rng.standard_normal((40, 2)), batch_size=4, verbose=0)
    (net.save_weights if str(path).endswith(".weights.h5") else net.save)(path)
    return net


def packed(tree):
    """Arrays by name as one, and where they are in it."""
    index = [[name, array.shape, str(array.dtype)] for name, array in tree.items()]
    return np.concatenate([np.ravel(array).astype("float32") for array in tree.values()]), json.dumps(index)


def unpacked(entries, index):
    found = {}
    for name, shape, dtype in json.loads(str(index)):
        part, entries = np.split(entries, [int(np.prod(shape))])
        found[name] = part.reshape(shape).astype(dtype)
    return found


def recorded(case):
    """The checkpoint, the parameters then, the gradients of the steps after, and the parameters in the end."""
    with np.load(Path(__file__).parents[1] / "interop_tensorflow.npz") as file:
        found = unpacked(file[case], file[f"{case} index"])
    parts = {}
    for name, array in found.items():
        part, _, rest = name.partition("|")
        parts.setdefault(part, {})[rest] = array
    return parts["checkpoint"], parts["middle"], [parts[f"gradients {step}"] for step in range(MORE)], parts["after"]


def record():
    from rmsprop_optax.interop import tensorflow

    golden, arrays = Path(__file__).parents[1], {}
    for case in CASES:
        run = runner(case, start())
        train(run, 0, STEPS)
        with tempfile.TemporaryDirectory() as folder:
            found = tensorflow.load(run.checkpoint(folder))
        parts = {"checkpoint": {name: a for name, a in found.items() if a.dtype.kind in "if"}, "middle": run.params()}
        for step, grads in enumerate(train(run, STEPS, STEPS + MORE)):
            parts[f"gradients {step}"] = grads
        parts["after"] = run.params()
        whole = {f"{part}|{name}": a for part, tree in parts.items() for name, a in tree.items()}
        arrays[case], arrays[f"{case} index"] = packed(whole)
    about = {package: importlib.metadata.version(package) for package in ("tensorflow-cpu", "tf-keras")}
    arrays["about"] = json.dumps(about | {"numpy": np.__version__, "python": platform.python_version()})
    np.savez_compressed(golden / "interop_tensorflow.npz", **arrays)
    keras_file(golden / "interop_tensorflow.h5")
    for path in golden.glob("interop_tensorflow.*"):
        print(path.name, about, f"{path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    record()
