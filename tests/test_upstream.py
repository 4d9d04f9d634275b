"""The numbers that upstream test suites print, from the dialects, to the last printed digit.

A suite's own tolerance is often too wide to tell one rule from another; its digits rarely are. Where upstream's own
arithmetic, mostly float32, moves the last digit by more than half a unit, `atol` says by how much.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rmsprop_optax import dialects


class Case(NamedTuple):
    """A run of a dialect, and what upstream expects of it.

    `gradient` is a function of the parameters, the gradient of every step, or one for each. `printed` holds the numbers
    after so many steps: as text they have the digits of the text, as numbers all of them. They are those of `what`: the
    `params`, the `step` that was subtracted from them, or a field of the state, which may start from a `seed`.
    """

    source: str
    dialect: str
    options: dict[str, Any]
    start: Any
    gradient: Any
    printed: dict[int, Any]
    atol: float = 0.0
    what: str = "params"
    seed: dict[str, float] | None = None


def run(case):
    """Every printed step, with the dialect's numbers."""
    tx = getattr(dialects, case.dialect)(**case.options)
    params = jnp.asarray(case.start, float)
    state = tx.init(params)
    if case.seed:
        state = optax.tree.set(state, **{name: jnp.full_like(params, x) for name, x in case.seed.items()})
    update, steps = jax.jit(tx.update), max(case.printed)
    if not callable(case.gradient):
        gradients = np.broadcast_to(case.gradient, (steps, len(params)))
    for t in range(steps):
        g = case.gradient(np.asarray(params)) if callable(case.gradient) else gradients[t]
        updates, state = update(jnp.asarray(g, float), state, params)
        params = optax.apply_updates(params, updates)
        if t + 1 in case.printed:
            shown = {"params": params, "step": -updates}
            yield t + 1, shown[case.what] if case.what in shown else optax.tree.get(state, case.what)


def half_a_unit(rows):
    """Of the last place of the longest number: upstream drops trailing zeros."""
    words = [word for row in rows for word in (row.split() if isinstance(row, str) else ())]
    return 0.5 * 10.0 ** -max(len(word.partition(".")[2]) for word in words) if words else 0.0


# The problems

RATES = np.array([0.1, 1.0, 2.0, 10.0, 100.0])  # dfdx: the loss is the sum of (rate·p)²
REGRESSION = np.array([[2.0, 1.0], [7.0, 4.0], [-4.0, 12.0], [5.0, 8.0]])  # candle-optimisers: x₁, x₂
DENSE = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])  # PyTorch: three inputs


def regression(p):
    """The squared error of a linear model of 3·x₁ + x₂ − 2."""
    r = REGRESSION @ (p[:2] - [3, 1]) + p[2] + 2
    return [*(2 * r @ REGRESSION), 2 * r.sum()]


def sigmoids(p):
    """The sum of the outputs of two dense layers of sigmoids, with 2, 3 and 1 units."""
    w, b, v, c = p[:6].reshape(3, 2), p[6:9], p[9:12], p[12]
    h = 1 / (1 + np.exp(-(DENSE @ w.T + b)))
    y = 1 / (1 + np.exp(-(h @ v + c)))
    dy = y * (1 - y)
    dh = dy[:, None] * v * h * (1 - h)
    return np.concatenate([(dh.T @ DENSE).ravel(), dh.sum(0), h.T @ dy, [dy.sum()]])


# The numbers


def keras():
    source = "keras-team/keras 3422977: keras/src/optimizers/rmsprop_test.py"
    yield (
        "single step",
        Case(source, "keras", {"learning_rate": 0.5}, [1, 2, 3, 4], [1, 6, 7, 2], {1: "-0.5811 0.4189 1.4189 2.4189"}),
    )
    # The suite decays the same variable by three optimizers.
    decay = {"learning_rate": 1.0, "weight_decay": 0.004}
    yield "weight decay", Case(source, "keras", decay, [2], [0], {3: "1.9760959"})
    golden = dict(enumerate(("0.9967", "0.9933", "0.9908", "0.9885", "0.9864"), start=1))
    gradients = [[0.01] * 10] + [np.arange(0.1, 1.05, 0.1)] * 4
    yield "centered", Case(source, "keras", {"centered": True}, [1] * 10, gradients, golden)
    source = "keras-team/keras 3422977: keras/src/optimizers/rmsprop.py, docstring"
    yield "docstring", Case(source, "keras", {"learning_rate": 0.1}, [10], lambda p: p, {1: "9.683772"})


def tf_keras_legacy():
    source = "keras-team/tf-keras dd0a723: tf_keras/optimizers/legacy/rmsprop_test.py"
    # A momentum of 0 that is not a Python number is momentum: epsilon is under the root.
    options = {"learning_rate": 2.0, "rho": 0.9, "momentum": jnp.zeros(()), "epsilon": 1.0}
    first = np.array([0.2, 0.2, 0.02, 0.02]) / np.sqrt([1.001, 1.001, 1.00001, 1.00001])
    second = np.array([0.2, 0.2, 0.02, 0.02]) / np.sqrt([1.0019, 1.0019, 1.000019, 1.000019])
    start, gradient = np.array([1, 2, 3, 4]), [0.1, 0.1, 0.01, 0.01]
    expected = {1: start - first, 2: start - first - second}
    yield "callable momentum", Case(source, "tf_keras_legacy", options, start, gradient, expected)
    # The variable is sparse in the suite, and its one row is always read.
    for name, options, expected, atol in (
        ("uncentered", {"epsilon": 1e-7}, [0, 1], 0.01),
        ("centered", {"epsilon": 1.0, "centered": True}, [-111, -138], 0.0),
    ):
        options |= {"learning_rate": 1.0, "rho": 0.0}
        yield name, Case(source, "tf_keras_legacy", options, [1, 2], product, {1: expected}, atol)


def product(p):
    """The gradient of (4·p₁ + 5·p₂)²."""
    return 2 * (p @ [4, 5]) * np.array([4, 5])


def tf1():
    source = "tensorflow/tensorflow 2: tensorflow/python/training/rmsprop_test.py"
    start, gradient = np.array([1, 2, 3, 4]), np.array([0.1, 0.1, 0.01, 0.01])
    rms = {1: np.array([0.901, 0.901, 0.90001, 0.90001])}
    rms[2] = rms[1] * 0.9 + [0.001, 0.001, 1e-5, 1e-5]
    for name, momentum, epsilon in (("without momentum", 0.0, 1.0), ("with momentum", 0.5, 1e-5)):
        options = {"learning_rate": 2.0, "decay": 0.9, "momentum": momentum, "epsilon": epsilon}
        first, second = (gradient * 2 / np.sqrt(rms[t] + epsilon) for t in (1, 2))
        mom = {1: first, 2: momentum * first + second}
        run = source, "tf1", options, start, gradient
        yield name, Case(*run, {1: start - mom[1], 2: start - mom[1] - mom[2]})
        yield name + ", rms", Case(*run, rms, what="nu")
        if momentum:
            yield name + ", mom", Case(*run, mom, what="trace")
    for name, options, expected in (
        ("uncentered", {"epsilon": 0.0}, [0, 1]),
        ("centered", {"epsilon": 1.0, "centered": True}, [-111, -138]),
    ):
        yield name, Case(source, "tf1", {"learning_rate": 1.0, "decay": 0.0} | options, [1, 2], product, {1: expected})


def sonnet():
    source = "google-deepmind/sonnet 26b0518: sonnet/src/optimizers/rmsprop_test.py"
    start, gradient = [1, 2, 3, 4], [5, 5, 3, 3]
    dense = {
        1: "0.683772 1.683772 2.683772 3.683772",
        2: "0.454357 1.454357 2.454357 3.454357",
        3: "0.262262 1.262262 2.262262 3.262262",
    }
    centered = {
        1: "0.666667 1.666667 2.666667 3.666667",
        2: "0.41176 1.41176 2.41176 3.41176",
        3: "0.186776 1.186776 2.186776 3.186776",
    }
    changed = {1: dense[1], 2: "0.660831 1.660831 2.660831 3.660831"}
    # The suite runs the same numbers through tf.keras, whichever of the two it is.
    for dialect in ("sonnet", "tf_keras_legacy", "keras"):
        rest = start, gradient
        yield f"dense, {dialect}", Case(source, dialect, {"learning_rate": 0.1}, *rest, dense)
        yield f"centered, {dialect}", Case(source, dialect, {"learning_rate": 0.1, "centered": True}, *rest, centered)
        options = {"learning_rate": lambda count: jnp.where(count < 1, 0.1, 0.01)}
        yield f"learning rate, {dialect}", Case(source, dialect, options, *rest, changed)
    # One row of each variable has a gradient. Four roundings of 21 in float32; the suite's rtol is 1e-4.
    sparse = {1: "-8.486831 -5.486784", 2: "-15.369301 -12.369237", 3: "-21.132141 -18.132067"}
    rows = source, "sonnet", {"learning_rate": 3.0}, [1, 4], [0.1, 0.01]
    yield "rows", Case(*rows, sparse, 4e-6)
    sparse = {1: "-8.999999 -5.999944", 2: "-16.64719 -13.647109", 3: "-23.396709 -20.39661"}
    rows = source, "sonnet", {"learning_rate": 3.0, "centered": True}, [1, 4], [0.1, 0.01]
    yield "rows, centered", Case(*rows, sparse, 4e-6)


def pytorch():
    source = "pytorch/pytorch 58dd0f5: test/cpp/api/optim_baseline.h, optim_baseline.py, optim.cpp"
    # Of torch.manual_seed(0), as optim_baseline.py draws it; optim.cpp gives four digits.
    start = """
        -0.21089885683388707 -0.4975560466422629 -0.1412921620247176 -0.3420288967865903 -0.2523635082803723
        0.6975570255493778 -0.10853121966252376 -0.297948499687533 0.6892015099955718 -0.05080313011597654
        -0.3941351875105899 -0.28433759745928844 -0.07113812430174121"""
    start = np.array(start.split(), float)
    for name, options, printed in (
        (
            "default",
            {},
            """3.0175156205790477 2.945200425145326 2.291469925522963 2.221721702578292 1.6544730927621267
            2.705431441204422 3.9190041004420175 2.6513176244659378 2.993736489599992 -4.053111559341913
            -4.450801801162238 -3.027184551913196 -2.353949890597345""",
        ),
        (
            "weight decay",
            {"weight_decay": 1e-2},
            """0.2306170112270019 0.29368398381778194 0.23061747865501664 0.29368467998690806 0.2306085559563821
            0.2936719507340021 0.680671467383083 0.6806730903175792 0.6806434720800854 -1.4635008778278134
            -1.4635052859178375 -1.463420837506828 -2.1262432969587723""",
        ),
        (
            "centered",
            {"weight_decay": 1e-6, "centered": True},
            """0.4875468895095058 0.6878747871467127 0.7787871237567608 1.046259254610218 0.4416468896022396
            0.8122992916762793 2.1078734515587483 2.17034337037527 2.066632596856854 -3.9782695475825225
            -4.3520930551154136 -3.0377809502927033 -2.403496388200805""",
        ),
        (
            "centered, momentum",
            {"weight_decay": 1e-6, "centered": True, "momentum": 0.9},
            """0.10393820340367545 0.1398207466618173 0.0831407198272949 0.10183584198629941 0.13949594516972202
            0.17822672100147108 0.34039464502063904 0.2486088886235969 0.31914045155310655 -4.174294597914298
            -4.037528929635062 -6.297198700024484 -7.182093090194918""",
        ),
    ):
        # Float64 over a thousand steps.
        yield name, Case(source, "pytorch", {"lr": 0.1} | options, start, sigmoids, {1001: printed}, 1e-12)


def candle_optimisers():
    source = "KGrewal1/optimisers 0.6.0: tests/rmsprop-tests.rs"
    decay, centered, momentum = {"weight_decay": 0.4}, {"centered": True}, {"momentum": 0.4}
    for name, options, printed in (
        ("default", {}, "1.6650 0.7867 1.3012"),
        ("weight decay", decay, "1.6643 0.7867 1.2926"),
        ("centered", centered, "1.8892 0.7617 1.3688"),
        ("centered, weight decay", centered | decay, "1.8883 0.7621 1.3558"),
        ("momentum", momentum, "2.3042 0.6835 1.5441"),
        ("momentum, weight decay", momentum | decay, "2.3028 0.6858 1.5149"),
        ("momentum, centered", momentum | centered, "2.4486 0.6715 1.5045"),
        ("momentum, centered, weight decay", momentum | centered | decay, "2.4468 0.6744 1.4695"),
    ):
        # The suite has them from PyTorch.
        for dialect in ("candle_optimisers", "pytorch"):
            yield f"{name}, {dialect}", Case(source, dialect, options, [0, 0, 0], regression, {100: printed})


def burn():
    source = "tracel-ai/burn 2c06be3: crates/burn-optim/src/optim/rmsprop.rs"
    options = {"lr": 0.01, "alpha": 0.99, "epsilon": 1e-8, "weight_decay": 0.05, "momentum": 0.9}
    # Every row of the weight has its input, summed over the batch, for a gradient; the bias has the batch's size, 2.
    inputs = np.array(
        [
            [[0.6294, 0.0940, 0.8176, 0.8824, 0.5228, 0.4310], [0.7152, 0.9559, 0.7893, 0.5684, 0.5939, 0.8883]],
            [[0.8491, 0.2108, 0.8939, 0.4433, 0.5527, 0.2528], [0.3270, 0.0412, 0.5538, 0.9605, 0.3195, 0.9085]],
        ]
    ).sum(1)
    bias = np.full((2, 6), 2)
    # The columns of the first test are equal.
    printed = {2: "0.743937 0.783809 0.742881 0.740366 0.748005 0.743710 0.239199"}
    start = [1] * 6 + [0.5]
    yield "basic", Case(source, "burn", options, start, np.hstack([inputs, bias[:, :1]]), printed)
    start = """
        -0.3206 0.1374 0.4043 0.3200 0.0859 0.0671 0.0777 -0.0185 -0.3667 0.2550 0.1955 -0.2922
        -0.0190 0.0346 -0.2962 0.2484 -0.2780 0.3130 -0.2980 -0.2214 -0.3715 -0.2981 -0.0761 0.1626
        0.3300 -0.2182 0.3717 -0.1729 0.3796 -0.0304 -0.0159 -0.0120 0.1258 0.1921 0.0293 0.3833
        -0.3905 0.0884 -0.0970 0.1176 0.1366 0.0130"""
    printed = """
        -0.576399 -0.118494 0.148353 0.064070 -0.169983 -0.188779 -0.135571 -0.231448 -0.578445 0.041143 -0.018162
        -0.504207 -0.275990 -0.222397 -0.553153 -0.008625 -0.534956 0.055967 -0.557575 -0.480979 -0.631072 -0.557675
        -0.335686 -0.096997 0.078313 -0.469618 0.119993 -0.424341 0.127890 -0.281912 -0.271996 -0.268097 -0.130324
        -0.064037 -0.226805 0.127126 -0.651299 -0.172400 -0.357800 -0.143200 -0.124200 -0.247800"""
    gradients = np.hstack([inputs.repeat(6, 1), bias])
    yield "numbers", Case(source, "burn", options, np.array(start.split(), float), gradients, {2: printed})


def dfdx():
    source = "coreylowman/dfdx 4722a99: dfdx/src/nn/optim/rmsprop.rs"
    for name, options, printed in (
        (
            "default",
            {},
            """0.9997892 0.98245883 0.9703907 0.9683808 0.96837723
            0.99956703 0.96670717 0.9485176 0.9457928 0.945788
            0.9993329 0.9521923 0.9301649 0.9270585 0.9270531
            0.9990862 0.9385879 0.9138966 0.9105493 0.91054344
            0.9988262 0.9256831 0.8990271 0.8955128 0.8955067""",
        ),
        (
            "momentum",
            {"momentum": 0.9},
            """0.9997892 0.98245883 0.9703907 0.9683808 0.96837723
            0.9993773 0.9509201 0.9218692 0.9173355 0.9173275
            0.9987725 0.9082085 0.86019397 0.8530321 0.8530196
            0.9979816 0.8566451 0.78923434 0.7795164 0.7794995
            0.9970101 0.798177 0.71185935 0.69974965 0.6997286""",
        ),
        (
            "alpha",
            {"alpha": 0.5},
            """0.99971724 0.9873509 0.9859671 0.985858 0.98585784
            0.9993176 0.9763115 0.97450525 0.97436625 0.97436607
            0.9987531 0.96588355 0.9639029 0.9637519 0.96375173
            0.99795645 0.95572895 0.95366806 0.95351166 0.9535115
            0.99683434 0.9457051 0.9436056 0.9434466 0.9434464""",
        ),
        (
            "eps",
            {"eps": 1e-2},
            """0.9997904 0.98252594 0.97041094 0.9683808 0.96837723
            0.99956954 0.9668238 0.9485463 0.94579285 0.945788
            0.999337 0.95234853 0.93019867 0.9270586 0.9270531
            0.99909216 0.9387773 0.9139341 0.91054934 0.91054344
            0.9988343 0.9259014 0.89906746 0.8955129 0.8955067""",
        ),
        (
            "centered",
            {"centered": True},
            """0.9997892 0.98218256 0.96900064 0.9666708 0.9666667
            0.99956703 0.965664 0.9448974 0.941596 0.9415902
            0.9993329 0.9498438 0.9236177 0.91970736 0.91970056
            0.9990862 0.93438274 0.90377975 0.89941716 0.8994096
            0.9988262 0.9190646 0.8847198 0.87998855 0.8799804""",
        ),
        (
            "L2",
            {"weight_decay": 0.5},
            """0.9945992 0.9797556 0.97018003 0.96838075 0.96837723
            0.9890257 0.96231526 0.9482287 0.94579273 0.945788
            0.98328084 0.94663495 0.92983353 0.92705846 0.9270531
            0.9773666 0.9321751 0.9135383 0.9105492 0.91054344
            0.97128564 0.9186157 0.89865 0.89551276 0.8955067""",
        ),
        (
            "decoupled",
            {"weight_decay": 0.5, "decoupled": True},
            """0.9947892 0.97745883 0.9653907 0.9633808 0.96337724
            0.98959416 0.9568803 0.9387497 0.93603325 0.9360285
            0.9844144 0.93768346 0.91579914 0.9127129 0.9127075
            0.9792493 0.91952574 0.8950769 0.89176315 0.8917574
            0.9740982 0.90218556 0.8758817 0.8724158 0.87240976""",
        ),
    ):
        rows = dict(enumerate(printed.split("\n"), start=1))
        # Two roundings of 1 in float32; the suite's tolerance is 1e-6.
        yield name, Case(source, "dfdx", options, [1] * 5, lambda p: 2 * RATES**2 * p, rows, 1.2e-7)


def tensorflowjs():
    source = "tensorflow/tfjs 0fc04d9: tfjs-core/src/optimizers/rmsprop_optimizer_test.ts"
    for name, options, printed in (
        ("plain", {}, {1: "0.5527865 1.5527864", 2: "0.2874418 1.2294267"}),
        ("centered", {"centered": True}, {1: "0.5411684 1.5411685", 2: "0.2677834 1.2035918"}),
    ):
        options |= {"learningRate": 0.1, "decay": 0.95, "momentum": 0.1}
        # A rounding of 1 in float32; the suite's tolerance is 1e-3. With epsilon added, x₁ would be 2.4e-7 larger.
        yield name, Case(source, "tensorflowjs", options, [1, 2], lambda p: 2 * p, printed, 6e-8)


def lasagne():
    source = "Lasagne/Lasagne 5d3c63c: lasagne/tests/test_updates.py"
    gradient, printed = lambda p: p * [0.2, 0.4, 0.6], {10: "0.83205403985348 0.83205322744821 0.83205295664444"}
    # The numbers are Torch7's, whose epsilon is beside the root; Lasagne meets them within the suite's rtol of 1e-5.
    options = {"learningRate": 0.01, "alpha": 0.9, "epsilon": 1e-6}
    yield "torch7", Case(source, "torch7", options, [1] * 3, gradient, printed)
    yield "lasagne", Case(source, "lasagne", {"learning_rate": 0.01}, [1] * 3, gradient, printed, 8.3e-6)


def blocks():
    source = "mila-iqia/blocks c69c2dc: tests/algorithms/test_algorithms.py"
    gradients = [[6, 8], [4, 6], [2, 3]]
    basic = {1: "1.41421356 1.41421356", 2: "0.9701425 1.02899151", 3: "0.6172134 0.64699664"}
    scaled = {1: "0.141421356 0.141421356", 2: "0.09701425 0.102899151", 3: "0.06172134 0.064699664"}
    yield "basic", Case(source, "blocks", {"decay_rate": 0.5}, [0, 0], gradients, basic, what="step")
    options = {"learning_rate": 0.1, "decay_rate": 0.5}
    yield "learning rate", Case(source, "blocks", options, [0, 0], gradients, scaled, what="step")
    yield "max scaling", Case(source, "blocks", {"decay_rate": 0.5}, [0, 0], [2e-6, 2e-6], {1: [0.2, 0.2]}, what="step")
    # There is no epsilon in these numbers, nor in the lecture.
    yield "hinton", Case(source, "hinton", {"learning_rate": 1.0, "decay": 0.5}, [0, 0], gradients, basic, what="step")


def dl4j():
    source = "deeplearning4j/deeplearning4j 0c623e2: libnd4j/tests_cpu/layers_tests/DeclarableOpsTests18.cpp"
    gradients = [
        [0.1811431348323822, 0.10499879717826843, 0.8736756443977356, 0.9707390666007996, 0.7415646314620972],
        [0.0139725673943758, 0.19333727657794952, 0.9288347363471985, 0.9253600239753723, 0.3578299283981323],
        [0.5442887544631958, 0.5386605262756348, 0.884294331073761, 0.15599730610847473, 0.7259345054626465],
    ]
    steps = {
        1: "0.4472121903197142 0.4472095514452829 0.4472135169488324 0.44721352981195367 0.44721349127249754",
        2: "0.03528177364993147 0.3952537075263024 0.32964378302079766 0.31269398966616074 0.1984174163852542",
        3: "0.4262874753567082 0.41582357367557454 0.2613066321005825 0.05369221235564697 0.3034061716240995",
    }
    states = {
        1: "0.00164065126484513 0.00055124687044416 0.03816546608068996 0.04711672627124962 0.02749591463177582",
        2: "0.00156838033358239 0.00239264965265088 0.07939389114891399 0.08757544865627226 0.03252323178305766",
        3: "0.01630247372865814 0.01678077529839554 0.11452301978992785 0.0844134341991137 0.05724611550496966",
    }
    ramp = {
        1: "0.4472135330146769 0.44721357487863594 0.44721358411270346 0.4472135878446271 0.447213589800546",
        2: "0.32025628253164734 0.3202562987764395 0.32025630254446874 0.3202563041196892 0.3202563049660074",
        3: "0.2647903457769699 0.2647903552517623 0.26479035752571606 0.2647903584968847 0.2647903590265272",
    }
    # The numbers are float64, the suite compares them as float32.
    for name, gradient, printed, what in (
        ("steps", gradients, steps, "step"),
        ("states", gradients, states, "nu"),
        ("ramp", [1, 2, 3, 4, 5], ramp, "step"),
    ):
        yield name, Case(source, "dl4j", {}, [0] * 5, gradient, printed, 1e-15, what)


def flax_optim():
    source = "google/flax 7288ada: tests/optim_test.py"
    options = {"learning_rate": 0.1, "beta2": 0.9, "eps": 0.01}
    yield "plain", Case(source, "flax_optim", options, [1], [4], {1: "0.6946565"}, seed={"nu": 0.1})
    # The suite's state is a mean square and a mean of 0.1 each; ours is a variance and a mean.
    seed = {"nu": 0.1 - 0.1**2, "mu": 0.1}
    yield (
        "centered",
        Case(source, "flax_optim", options | {"centered": True}, [1], [4], {1: "0.670543"}, seed=seed),
    )


def tiny_dnn():
    source = "tiny-dnn/tiny-dnn c0f576f: test/test_optimizers.h"
    start, gradient = [-0.021, 1.03, -0.05, -0.749, 0.009], [1.0, -3.24, -0.6, 2.79, 1.82]
    # The digits are cut off, not rounded: a whole unit. The suite's tolerance is a whole step.
    printed = {1: "-0.0220 1.0310 -0.0490 -0.7500 0.0080", 2: "-0.0227 1.0317 -0.0482 -0.7507 0.0072"}
    yield "update", Case(source, "tiny_dnn", {}, start, gradient, printed, 5e-5)


def mlx():
    source = "ml-explore/mlx 846d176: python/tests/test_optimizers.py"
    yield "state", Case(source, "mlx", {"learning_rate": 1e-2}, [0], [1], {1: [1 - 0.99]}, what="nu")


SUITES = (
    keras,
    tf_keras_legacy,
    tf1,
    sonnet,
    pytorch,
    candle_optimisers,
    burn,
    dfdx,
    tensorflowjs,
    lasagne,
    blocks,
    dl4j,
    flax_optim,
    tiny_dnn,
    mlx,
)
CASES = {f"{suite.__name__}: {name}": case for suite in SUITES for name, case in suite()}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_printed_numbers(case):
    atol = half_a_unit(case.printed.values()) + case.atol
    with jax.enable_x64(True):
        for t, ours in run(case):
            expected = case.printed[t].split() if isinstance(case.printed[t], str) else case.printed[t]
            expected = np.broadcast_to(np.array(expected, float), ours.shape)
            np.testing.assert_allclose(ours, expected, rtol=1e-14, atol=atol, err_msg=case.source)
