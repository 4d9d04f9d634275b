"""Optimizers by name: words, names and strings that are right, and those that are not."""

import inspect
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmsprop_optax import create, dialects, names, recipes

PARAMS = {"w": jnp.array([1.0, -2.0, 3.0])}
GRADIENTS = {"w": jnp.array([0.5, -0.25, 2.0**-8])}


def updates(tx, steps=3):
    """What an optimizer does to growing gradients, step by step."""
    state, out = tx.init(PARAMS), []
    for step in range(1, steps + 1):
        update, state = tx.update({"w": step * GRADIENTS["w"]}, state, PARAMS)
        out.append(np.asarray(update["w"]))
    return np.stack(out)


def needed(constructor):
    """The learning rate where it has no default, and a mask that a recipe does not go without."""
    values = {"weight_decay_mask": None}
    parameters = inspect.signature(constructor).parameters.values()
    return {p.name: values.get(p.name, 0.01) for p in parameters if p.default is p.empty}


# Words

COMMON = {"learning_rate": 0.03, "decay": 0.7, "eps": 0.01, "momentum": 0.6}
WORDS = [
    (name, word, own)
    for name, row in dialects.TABLE.items()
    for word, own in row.arguments._asdict().items()
    if own is not None and not (word == "decay" and name in ("keras2", "tf_keras_legacy"))
]


@pytest.mark.parametrize(("name", "word", "own"), WORDS, ids=lambda x: x)
def test_a_common_word_is_the_dialects_own(name, word, own):
    constructor = dialects.TABLE[name].constructor
    options = needed(constructor)
    if (name, word) == ("mxnet", "momentum"):
        options["centered"] = True
    default = updates(constructor(**options))
    options.pop(own, None)
    want = updates(constructor(**options, **{own: COMMON[word]}))
    np.testing.assert_array_equal(updates(create(name, **options, **{word: COMMON[word]})), want)
    np.testing.assert_array_equal(updates(create(name, **options, **{own: COMMON[word]})), want)
    assert (want != default).any()


@pytest.mark.parametrize("name", ["keras2", "tf_keras_legacy"])
def test_a_decay_that_is_of_the_learning_rate(name):
    match = rf"decay has two meanings for {name}: other .* is its rho, .* Write rho, or call .*dialects.{name}\(…, dec"
    with pytest.raises(ValueError, match=match):
        create(name, decay=0.9)
    plain = updates(create(name))
    assert (updates(create(name, rho=0.7)) != plain).any()


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: create("pytorch", epsilon=1e-3), TypeError, "'epsilon': pytorch calls it eps"),
        (lambda: create("torch", rho=0.9), TypeError, "'rho': pytorch calls it alpha"),
        (lambda: create("keras(alpha=0.9)"), TypeError, "'alpha': keras calls it rho"),
        (lambda: create("matlab", lr=0.1), TypeError, "'lr': torch7 calls it learningRate"),
        (lambda: create("pytorch", learning_rat=0.1), TypeError, "'learning_rat': did you mean lr?"),
        (lambda: create("pytorch", learningRate=0.1), TypeError, "'learningRate': did you mean lr?"),
        (lambda: create("tf1", 0.1), TypeError, "positional argument"),
        (lambda: create("tf1", learning_rate=0.1, centred=True), TypeError, "'centred': did you mean centered?"),
        (lambda: create("pytorch", foo=1), TypeError, "'foo': it takes lr, alpha, eps"),
        (lambda: create("impala(steps=9)", lr=0.1), TypeError, "'lr': impala calls it learning_rate"),
        (lambda: create("mnasnet", step_per_epoch=9), TypeError, "'step_per_epoch': did you mean steps_per_epoch?"),
        (lambda: create("impala", eps=0.1), TypeError, "'eps': it takes steps, learning_rate, mean_of"),
        (lambda: create("hinton", learning_rate=0.1, eps=1e-3), TypeError, "hinton has no eps: hinton takes learning"),
        (lambda: create("dqn", decay=0.9), TypeError, "dqn has no decay: dqn takes lr, wc"),
        (lambda: create("river", momentum=0.9), TypeError, "river has no momentum: lasagne takes learning_rate, rho"),
        (lambda: create("tf1"), TypeError, "missing a required argument: 'learning_rate'; it takes learning_rate, de"),
        (lambda: create("pytorch", lr=0.1, learning_rate=0.1), ValueError, "once, got lr and learning_rate, which are"),
        (
            lambda: create("pytorch", decay=0.9, alpha=0.9),
            ValueError,
            "once, got decay and alpha, .* the alpha of pyto",
        ),
        (lambda: create("pytorch(lr=0.1)", lr=0.1), ValueError, "once, got lr in the name and beside it: drop one"),
        (lambda: create("pytorch(lr=0.1, lr=0.1)"), ValueError, "once, got lr twice in .*: drop one"),
        (lambda: create("pytorch(lr=0.1)", learning_rate=0.1), ValueError, "once, got lr and learning_rate"),
        (lambda: create("pytorch", alpha=1.5), ValueError, r"alpha must be in \[0, 1\), got alpha=1.5"),
        (lambda: create("pytorch(lr='fast')"), TypeError, "lr must be a number, got lr='fast'"),
        (lambda: create("bitsandbytes", momentum=0.9), ValueError, "momentum"),
        (lambda: create(dialects.pytorch), TypeError, r"name must be a string, got .*create\('pytorch'"),
        (lambda: dialects.pytorch(learning_rate=0.1), TypeError, "'learning_rate': pytorch calls it lr"),
        (lambda: dialects.keras2(epsilon="1e-7"), TypeError, "epsilon must be a number, got epsilon='1e-7'"),
    ],
)
def test_a_wrong_word(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_none_is_a_default_like_the_others():
    want = updates(dialects.keras2(lr=0.1))
    np.testing.assert_array_equal(updates(dialects.keras2(lr=0.1, epsilon=None, decay=None, clipnorm=None)), want)
    np.testing.assert_array_equal(updates(create("keras2(epsilon=None)", lr=0.1)), want)


# Names


@pytest.mark.parametrize("name", dialects.ALIASES)
def test_an_alias_is_its_dialect_with_its_defaults(name):
    alias = dialects.ALIASES[name]
    constructor = dialects.TABLE[alias.dialect].constructor
    options = needed(constructor) | (alias.defaults or {})
    got = updates(create(name, **{word: 0.01 for word in needed(constructor) if word not in options}, **options), 20)
    np.testing.assert_array_equal(got, updates(constructor(**options), 20))
    assert name == name.lower()
    if alias.defaults:
        rate = needed(constructor) if needed(constructor).keys() - alias.defaults.keys() else {}
        np.testing.assert_array_equal(updates(create(name, **rate)), updates(constructor(**options)))
        assert (updates(create(name, learning_rate=0.5)) != updates(create(name, **rate))).any()


def test_every_name_makes_an_optimizer():
    assert [*names()][: len(dialects.TABLE)] == [*dialects.TABLE]
    assert len(set(names())) == len(dialects.TABLE) + len(dialects.ALIASES) + len(recipes.TABLE)
    for name in names():
        key = name.removeprefix("recipes.") if name.startswith("recipes.") else name
        published = name not in dialects.TABLE and key in recipes.TABLE
        mask = {"weight_decay_mask": None} if published and "weight_decay_mask" in parameters(key) else {}
        assert create(name, learning_rate=0.01, **mask).init(PARAMS) is not None


def parameters(recipe):
    return inspect.signature(recipes.TABLE[recipe].constructor).parameters


def test_no_option_is_called_name():
    for row in (*dialects.TABLE.values(), *recipes.TABLE.values()):
        assert "name" not in inspect.signature(row.constructor).parameters


def test_patterns():
    assert names("recipes.*") == ["recipes.dqn", "recipes.graves"]
    assert names("TF*") == names("tf*") != []
    assert names("dopamine_*dqn") == ["dopamine_dqn", "dopamine_tf_dqn"]
    assert names("adam*") == []


def test_dialects_and_recipes_of_one_name():
    np.testing.assert_array_equal(updates(create("dqn")), updates(dialects.dqn()))
    np.testing.assert_array_equal(updates(create("dialects.dqn")), updates(dialects.dqn()))
    np.testing.assert_array_equal(updates(create("recipes.dqn")), updates(recipes.dqn()))
    np.testing.assert_array_equal(updates(create("recipes.dqn(mean_of=32)")), updates(recipes.dqn(mean_of=32)))
    np.testing.assert_array_equal(updates(create("Recipes.PyMARL()")), updates(recipes.pymarl()))
    np.testing.assert_array_equal(updates(create(" PyTorch ")), updates(dialects.pytorch()))
    np.testing.assert_array_equal(updates(create("Lua Torch(alpha=0.9)")), updates(dialects.torch7(alpha=0.9)))
    np.testing.assert_array_equal(updates(create("dialects.tf.keras(rho=0.5)")), updates(dialects.keras(rho=0.5)))


@pytest.mark.parametrize(
    ("wrong", "right"),
    {
        "pytroch": "pytorch",
        "Torhc": "torch",
        "tensorflw(learning_rate=0.1)": "tensorflow",
        "rmsprop_tf": "rmsproptf",
        "matlb": "matlab",
        "stable-baselines3": "stable_baselines3",
        "optimisers.jl": "optimisers_jl",
        "eficientnet": "efficientnet",
        "recipes.impla": "impala",
        "recipes.dqnn": "recipes.dqn",
        "dialects.dqnn": "dqn",
        "dialects.pymarll": "",
        "recipes.pytorch": "",
        "dialects.impala": "",
        "adamw": "",
        "": "",
    }.items(),
)
def test_a_misspelt_name(wrong, right):
    match = f"did you mean '{right}'" if right else r"(names\(\) lists them|did you mean)"
    name = wrong.partition("(")[0]
    with pytest.raises(ValueError, match=f"a dialect, an alias or a recipe, got '{name}': {match}"):
        create(wrong)


def test_rmsprop_alone_is_no_name():
    with pytest.raises(ValueError, match="each framework has its own; name one, such as 'pytorch', 'keras' or 'optax'"):
        create("RMSprop", learning_rate=0.1)


# Strings


def test_a_call_in_a_string():
    want = updates(dialects.pytorch(lr=0.01, momentum=0.9, centered=True))
    np.testing.assert_array_equal(updates(create("pytorch(lr=0.01, momentum=0.9, centered=True)")), want)
    np.testing.assert_array_equal(updates(create("pytorch(learning_rate=1e-2, momentum=.9)", centered=True)), want)
    np.testing.assert_array_equal(updates(create("  torch ( lr = 0.01, momentum = 0.9,\n centered = True )  ")), want)
    np.testing.assert_array_equal(updates(create("pytorch()")), updates(dialects.pytorch()))
    np.testing.assert_array_equal(updates(create("keras2(version='1.0.2')")), updates(dialects.keras2(version="1.0.2")))
    mask = {"w": False}
    np.testing.assert_array_equal(
        updates(create("keras(weight_decay=0.1, weight_decay_mask={'w': False})")),
        updates(dialects.keras(weight_decay=0.1, weight_decay_mask=mask)),
    )
    tx = create("efficientnet(steps_per_epoch=625, weight_decay_mask=None)")
    np.testing.assert_array_equal(updates(tx), updates(recipes.efficientnet(625, weight_decay_mask=None)))


@pytest.mark.parametrize(
    ("text", "why"),
    {
        "pytorch(0.1)": "every argument with its name",
        "pytorch(*[0.1])": "every argument with its name",
        "pytorch(**{'lr': 0.1})": "every argument with its name",
        "pytorch(lr=0.1)(momentum=0.9)": "write one call",
        "pytorch(lr=0.1).init": "write one call",
        "pytorch(lr=0.1) + pytorch(lr=0.1)": "write one call",
        "__import__('os').system('touch FILE')": "write one call",
        "__import__('os')": "every argument with its name",
        "pytorch(lr=__import__('os').system('touch FILE'))": "lr is not a literal",
        "pytorch(lr=open('FILE', 'w'))": "lr is not a literal",
        "pytorch(lr=[open('FILE', 'w') for _ in '1'])": "lr is not a literal",
        "pytorch(lr=(lambda: 1)())": "lr is not a literal",
        "pytorch(lr=f'{1}')": "lr is not a literal",
        "pytorch(lr=1/32)": "lr is not a literal",
        "pytorch(lr=10**-2)": "lr is not a literal",
        "pytorch(lr=x)": "lr is not a literal",
        "pytorch(momentum=0.9, lr={[]: 1})": "lr is not a literal",
        "pytorch(lr=(x := 1))": "lr is not a literal",
        "pytorch(lr=0.1": "was never closed",
        "pytorch(lr=0.1))": "unmatched",
        "pytorch(lr=0.1); print(1)": "invalid syntax",
        "pytorch(lr=)": "",
        "pytorch(lr=\0)": "null bytes",
        "pytorch" + 500 * "(": "",
        f"pytorch(lr={100_000 * '-'}1)": "",
        f"pytorch(lr={3000 * '-'}1)": "",
    }.items(),
    ids=lambda x: x[:40].replace("\0", "0"),
)
def test_a_string_that_is_no_call_with_literals(text, why, tmp_path):
    with pytest.raises(ValueError, match=f'name must be a name or a call with literals, as "pytorch.*{why}'):
        create(text.replace("FILE", str(tmp_path / "evaluated")))
    assert not (tmp_path / "evaluated").exists()


@pytest.mark.parametrize(
    "config",
    [
        {"name": "pytorch", "learning_rate": 0.01, "momentum": 0.9, "centered": True},
        {"name": "tf", "learning_rate": 1e-3, "eps": 1e-3, "momentum": None},
        {"name": "keras", "global_clipnorm": 0.1, "weight_decay": 0.01, "weight_decay_mask": {"w": False}},
        {"name": "impala", "steps": 1000, "mean_of": 200},
        {"name": "recipes.dqn", "learning_rate": 1e-4},
    ],
    ids=lambda config: config["name"],
)
def test_a_configuration_in_json(config):
    text = json.dumps(config)
    np.testing.assert_array_equal(updates(create(**json.loads(text))), updates(create(**config)))
    name, options = config["name"], {word: value for word, value in config.items() if word != "name"}
    call = f"{name}({', '.join(f'{word}={value!r}' for word, value in options.items())})"
    np.testing.assert_array_equal(updates(create(call)), updates(create(name, **options)))
    assert jax.tree.structure(create(call).init(PARAMS)) == jax.tree.structure(create(name, **options).init(PARAMS))
