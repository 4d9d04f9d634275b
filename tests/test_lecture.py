"""What notebooks/1_why_rmsprop.ipynb says about its numbers, in its order."""

import functools

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rmsprop_optax import rmsprop
from rmsprop_optax.demo import lecture

ADAPTIVE = ("rprop", "Adagrad", "RMSprop")
ULP = float(np.finfo(np.float32).eps)

straight = functools.cache(lecture.full_batch)
turned = functools.cache(lambda: lecture.full_batch(turned=True))
walk = functools.cache(lecture.walk)
drift = functools.cache(lecture.drift)
changing = functools.cache(lecture.changing)


@functools.cache
def divisors(stream):
    ten = np.tile(np.float32(lecture.CYCLE), 100)[:, None]
    return lecture.divisors(ten if stream == "ten" else lecture.mini_batch_gradients())


def ratios(divisor):
    """A divisor over the one before, once the mean square has settled: 0.99^500 < 0.01."""
    return divisor[501:] / divisor[500:-1]


def updates(tx, gradients):
    return np.asarray(
        lecture.descend(tx, lambda w, g: g, jnp.float32(0), jnp.asarray(gradients, jnp.float32), lambda p, g, u, s: u)
    )


# The optimizers


def test_rprop_is_the_papers_with_no_delay():
    steps = updates(lecture.rprop(0.1), [1, 1, 1, -1, -1, -1, 1, -2])
    # 1.2 while the sign stays, 0.5 and no step when it changes, and no factor after a step left out (iRprop-).
    expected = [-0.1, -0.12, -0.144, 0, 0.072, 0.0864, 0, 0.0432]
    np.testing.assert_allclose(steps, expected, rtol=4 * ULP, atol=0)


@pytest.mark.parametrize(("start", "bound", "sign"), [(20.0, 50.0, 1), (1e-5, 1e-6, -1)])
def test_rprops_step_stays_within_the_lectures_bounds(start, bound, sign):
    gradients = np.ones(100) if sign > 0 else np.resize([1, -1, 1], 300)
    sizes = np.abs(updates(lecture.rprop(start), gradients))
    assert (sizes.max() if sign > 0 else sizes[sizes > 0].min()) == pytest.approx(bound, rel=ULP)


def test_steps_until():
    error = [[3.0, 0.5, 2.0, 0.5, 0.4], [0.1] * 5, [0.1] * 4 + [2.0], [np.nan] * 5]
    np.testing.assert_array_equal(lecture.steps_until(error, 1.0), [4, 1, np.inf, np.inf])


# 1. With full batches, rprop works


def test_gradients_differ_by_orders_of_magnitude():
    assert straight()["gradient"].max() > 1000 * straight()["gradient"].min()


def test_rprop_is_quick_from_every_first_step_and_gradient_descent_is_slow():
    needed, bound = straight()["needed"], straight()["bound"]
    assert np.isfinite(needed["rprop"]).all()
    assert bound > 20 * needed["rprop"].max()
    assert needed["SGD"].min() > bound
    assert np.isfinite(needed["SGD"]).sum() == 1


def test_adagrad_is_the_quickest_at_its_best_rate():
    best = {name: needed.min() for name, needed in straight()["needed"].items()}
    assert min(best, key=best.get) == "Adagrad"


def test_rmsprop_ends_half_a_rate_from_the_optimum():
    # Where every gradient has the same size, the root mean square is that size, and each step goes across by one rate.
    # Above the range tried here, not all weights swing in phase; below it, they have not arrived.
    rates, error = straight()["rates"], straight()["error"]["RMSprop"]
    middle = (rates > 5e-4) & (rates < 2e-2)
    assert middle.sum() == 4
    np.testing.assert_allclose(error[middle, -100:].max(1), rates[middle] / 2, rtol=0.1)


def test_turned_coordinates_cost_the_adaptive_most_of_their_lead():
    before, after = ({n: r["needed"][n].min() for n in r["needed"]} for r in (straight(), turned()))
    for name in ADAPTIVE:
        assert 5 * before[name] < after[name] < after["SGD"]
        assert after["SGD"] / after[name] < 0.5 * before["SGD"] / before[name]
    # Gradient descent sees the curvatures only, which are the same.
    assert 0.5 < after["SGD"] / before["SGD"] < 2


# 2. With mini-batches, it does not


def test_the_ten_gradients_sum_to_zero():
    assert sum(lecture.CYCLE) == pytest.approx(0, abs=1e-15)
    nine_first, one_first, *shuffled = np.asarray(lecture.streams(3, 2)).reshape(4, 3, 10)
    np.testing.assert_array_equal(nine_first, one_first[:, ::-1])
    for stream in (nine_first, *shuffled):
        np.testing.assert_array_equal(np.sort(stream), np.sort(np.tile(np.float32(lecture.CYCLE), (3, 1))))


def test_rprop_with_its_step_held_walks_nine_steps_of_ten():
    held = walk()["drift"]["rprop, held"]
    np.testing.assert_allclose(held[:2], -9, rtol=1e-4)  # float32 sums of a thousand steps
    # Shuffled, the tenth of one cycle can meet that of the next, and one step back is made: 1 in 100 cycles, times 2.
    np.testing.assert_allclose(held[2:], -9, rtol=0.02)


def test_rprop_with_its_step_bounded_walks_too():
    # Left out, 0.5, 0.6, 0.72, 0.864, and five or, nine first, four and one of the full size.
    np.testing.assert_allclose(walk()["drift"]["rprop, bounded"][:2], -(0.5 + 0.6 + 0.72 + 0.864 + 5), rtol=1e-4)
    assert (walk()["drift"]["rprop, bounded"] < -7).all()


def test_rprop_as_it_is_is_worse():
    size = walk()["step_size"]
    growing = size[9::10] < 50 / 1.2**8
    np.testing.assert_allclose((size[10::10] / size[:-10:10])[growing[:-1]], 1.2**8 * 0.5, rtol=1e-5)
    assert size.max() == 50
    assert (walk()["drift"]["rprop"] < 1000 * walk()["drift"]["rprop, held"]).all()


def test_sgd_stays():
    assert np.abs(walk()["drift"]["SGD"]).max() < 1e-4
    # Nowhere in a cycle is it farther away than its largest step.
    assert np.abs(walk()["walk"]["SGD"]).max() < 0.9 / 0.3 + 1e-3


def test_rmsprop_stays_about_where_it_is():
    held, drifts, walks = walk()["drift"]["rprop, held"], walk()["drift"], walk()["walk"]
    assert (drifts["RMSprop 0.9"] > held / 10).all()
    assert (drifts["RMSprop 0.99"] > held / 100).all()
    assert (np.abs(walks["RMSprop 0.9"]).max(1) < np.abs(walks["rprop, held"]).max(1) / 8).all()


def test_most_of_what_rmsprop_moves_with_a_long_average_is_its_start():
    w, corrected = (walk()["walk"][name][:, -1].mean() for name in ("RMSprop 0.99", "RMSprop 0.99, corrected"))
    drifted = walk()["drift"]["RMSprop 0.99"].mean() * 100
    assert w - drifted < w / 2
    assert abs(corrected) < abs(w) / 2


def test_with_decay_zero_rmsprop_is_the_sign():
    gradients = np.random.default_rng(0).normal(size=100)
    np.testing.assert_allclose(updates(rmsprop(0.5, 0.0, eps_root=0.0), gradients), -0.5 * np.sign(gradients), rtol=ULP)
    assert drift()["decays"][0] == 0
    np.testing.assert_allclose(drift()["drift"][0], 8, rtol=1e-5)


def test_rmsprops_drift_goes_to_zero_with_one_minus_decay():
    decays, theory = drift()["decays"], drift()["theory"]
    np.testing.assert_allclose(theory, 20 / 3 * (1 - decays), rtol=1e-12)
    assert (np.diff(drift()["drift"], axis=0) < 0).all()
    # The next order of the expansion is (1 - decay)², with a factor that depends on the order of the gradients.
    off = np.abs(drift()["drift"] / theory[:, None] - 1)
    assert (off < 3 * (1 - decays)[:, None]).all()


# 3. What RMSprop changes


def test_the_size_of_a_gradient_changes_by_more_than_a_factor_of_two():
    change = ratios(divisors("digits")["|g|"])
    assert np.median(np.maximum(change, 1 / change)) > 2


@pytest.mark.parametrize("stream", ["ten", "digits"])
@pytest.mark.parametrize("decay", [0.9, 0.99])
def test_adjacent_mini_batches_are_divided_by_nearly_the_same_number(stream, decay):
    change = ratios(divisors(stream)[f"RMSprop {decay}"])
    assert change.min() > np.sqrt(decay) * (1 - 4 * ULP)
    # More than half of the gradients are below the root mean square, so the median change is a fall, and so bounded.
    assert np.median(np.maximum(change, 1 / change)) < 1 / np.sqrt(decay)


@pytest.mark.parametrize("stream", ["ten", "digits"])
def test_the_typical_change_is_a_few_percent_and_a_tenth_of_that(stream):
    usual, longer = (np.median(np.abs(ratios(divisors(stream)[f"RMSprop {decay}"]) - 1)) for decay in (0.9, 0.99))
    assert 0.03 < usual < 0.06
    # To first order a change is (1 - decay)/2 · (g²/nu - 1).
    assert longer == pytest.approx(usual / 10, rel=0.1)


def test_the_tenth_gradient_raises_the_divisor_at_once():
    nine = ratios(divisors("ten")["|g|"])
    assert nine.max() == pytest.approx(9, rel=1e-5)
    assert 1.25 < ratios(divisors("ten")["RMSprop 0.9"]).max() < 9 / 4
    assert 1.025 < ratios(divisors("ten")["RMSprop 0.99"]).max() < 1.25


# 4. Why not Adagrad?


def chosen(name, scale):
    """The distance from the optimum and the median effective rate, at the rate chosen before the jump."""
    k, i = list(changing()["scales"]).index(scale), changing()["blind"][name]
    return changing()["error"][name][k, i], np.median(changing()["effective"][name][k, i], axis=0)


def test_adagrads_effective_rate_never_rises():
    effective = changing()["effective"]["Adagrad"]
    assert np.isfinite(effective).all()
    # It is read off as update / gradient, three rounded operations each.
    assert (effective[..., 1:] <= effective[..., :-1] * (1 + 6 * ULP)).all()


def test_rmsprops_effective_rate_goes_up_as_the_scale_goes_down():
    for scale in (0.1, 0.01):
        _, effective = chosen("RMSprop", scale)
        before, soon, late = (np.median(effective[start : start + 200]) for start in (800, 1200, 1800))
        # Medians of 200 mini-batches, of which an average over ten leaves about twenty that are independent.
        assert soon / before == pytest.approx(1 / scale, rel=0.2)
        assert late / before == pytest.approx(1 / scale, rel=0.2)
    _, effective = chosen("Adagrad", 0.01)
    assert 0.9 < effective[-1] / effective[999] <= 1


def test_a_changing_scale_leaves_adagrad_behind():
    adagrad, rms = chosen("Adagrad", 0.01)[0], chosen("RMSprop", 0.01)[0]
    assert adagrad[1000:].mean() > 5 * rms[1000:].mean()
    assert adagrad[-100:].mean() > 0.5 > 0.05 > rms[-100:].mean()
    assert chosen("SGD", 0.01)[0][-100:].mean() > 5 * rms[-100:].mean()


def test_while_the_scale_stays_adagrad_is_better():
    adagrad, rms = chosen("Adagrad", 1.0)[0], chosen("RMSprop", 1.0)[0]
    assert adagrad[:1000].mean() < rms[:1000].mean()
    assert adagrad[1000:].mean() < rms[1000:].mean()


def test_hindsight_helps_adagrad_but_not_past_rmsprop():
    k, rates = 2, changing()["rates"]
    errors, hindsight = changing()["error"], changing()["hindsight"]
    adagrad, rms = (errors[name][k, hindsight[name][k]] for name in ("Adagrad", "RMSprop"))
    blind = errors["Adagrad"][k, changing()["blind"]["Adagrad"]]
    assert rates[hindsight["Adagrad"][k]] > 10 * rates[changing()["blind"]["Adagrad"]]
    assert adagrad[1000:].mean() < blind[1000:].mean()
    assert adagrad[:1000].mean() > blind[:1000].mean()
    assert adagrad[:1000].mean() > rms[:1000].mean()
    assert adagrad[1000:].mean() > rms[1000:].mean()


def test_rprop_is_indifferent_to_the_scale():
    errors = [chosen("rprop", scale)[0] for scale in (1.0, 0.1, 0.01)]
    np.testing.assert_allclose(errors[1:], errors[:1] * 2, rtol=1e-5)
    assert errors[2][1000:].mean() < 2 * chosen("RMSprop", 0.01)[0][1000:].mean()


def test_no_rate_in_the_changing_problem_is_on_the_edge():
    for name in lecture.OPTIMIZERS:
        indices = [changing()["blind"][name], *changing()["hindsight"][name]]
        assert 0 < min(indices) <= max(indices) < len(changing()["rates"]) - 1


# 5. All four on a real problem


def test_on_mini_batches_rprop_is_worst_and_the_others_cannot_be_ranked():
    result = lecture.training()
    rates, best, images = result["rates"], result["best"], result["test_images"]
    np.testing.assert_allclose(np.diff(np.log10(rates)), 0.5)
    assert {values.shape[:2] for key in ("validation", "test") for values in result[key].values()} == {(9, 8)}
    assert all(0 < i < len(rates) - 1 for i in best.values())

    tested = {name: result["test"][name][i].astype(float) for name, i in best.items()}

    def gap(a, b):
        """How far apart two optimizers are, in standard errors: of the mean over seeds, and of so many test images."""
        over_seeds = (a.var(ddof=1) + b.var(ddof=1)) / a.size
        over_images = sum(p.mean() * (1 - p.mean()) for p in (a, b)) / images
        return (a.mean() - b.mean()) / np.sqrt(over_seeds + over_images)

    rprop = tested.pop("rprop")
    assert all(gap(other, rprop) > 3 for other in tested.values())
    assert all(gap(a, b) < 2 for a in tested.values() for b in tested.values())

    # rprop's loss rises over the epochs, but not on all images at once.
    epochs = result["loss"]["rprop"][best["rprop"]].mean(0).reshape(20, -1).mean(1)
    assert epochs[-1] > 2 * epochs.min()
    assert epochs.argmin() < 5
    everything = len(lecture.digits()["train"][1])
    whole = lecture.training(("rprop",), rates=(rates[best["rprop"]],), batch=everything, epochs=100)
    assert whole["loss"]["rprop"][0, :, -1].mean() < 0.01
    assert whole["test"]["rprop"].mean() > rprop.mean()


def test_digits_are_split_without_overlap():
    parts = lecture.digits()
    assert {name: len(labels) for name, (_, labels) in parts.items()} == {"train": 1010, "validation": 337, "test": 450}
    images = np.concatenate([np.asarray(x) for x, _ in parts.values()])
    assert len(np.unique(images, axis=0)) == len(images) == 1797
    assert images.min() == 0
    assert images.max() == 1


def test_optimizers_are_the_public_ones():
    g = jnp.asarray([1.0, -2.0], jnp.float32)
    for name, other in (("SGD", optax.sgd(0.1)), ("RMSprop", rmsprop(0.1))):
        tx = lecture.OPTIMIZERS[name](0.1)
        np.testing.assert_array_equal(tx.update(g, tx.init(g))[0], other.update(g, other.init(g))[0])
    # From a sum of 0, the first step of Adagrad is one rate whatever the gradient.
    tx = lecture.OPTIMIZERS["Adagrad"](0.1)
    np.testing.assert_allclose(tx.update(1e-2 * g, tx.init(g))[0], [-0.1, 0.1], rtol=1e-3)
