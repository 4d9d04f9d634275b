"""The statements of ``notebooks/3_from_other_frameworks.ipynb`` about its numbers.

Processors round differently, so runs are compared within the effect of rounding, not bit by bit.
"""

import numpy as np

NUMBERS = ("agreement", "losses", "loss", "weights_apart", "number_by_number", "refused", "back")


def quarters(run):
    return run.reshape(4, 25).mean(1)


def claim_a_continuation_is_exact_but_for_rounding(n):
    for framework in ("PyTorch", "Keras"):
        found = n.agreement[framework]
        rounding = np.median(found.pop("rounding"))
        assert 1e-8 < rounding < 1e-4
        assert 0 < found["weight"][0] < min(30 * rounding, 1e-4)
        assert found["weight"][1] > 1
        for difference, size in found.values():
            assert difference < 2e-4 * size
    assert set(n.agreement["PyTorch"]) == {"loss", "weight", "mean_square", "mean", "momentum"}
    assert set(n.agreement["Keras"]) == {"loss", "weight", "mean_square", "momentum"}


def claim_the_losses_are_those_of_the_framework(n):
    for framework, runs in n.loss.items():
        np.testing.assert_allclose(runs["state carried over"], n.losses[framework.lower()][100:], atol=1e-4)
        assert np.mean(n.losses[framework.lower()][:10]) > 2 * np.mean(runs["state carried over"])


def claim_what_is_written_for_keras_is_what_keras_has(n):
    assert n.back.pop("count") == 200
    assert n.back.pop("same call")
    assert all(difference < 2e-4 * size for difference, size in n.back.values())


def claim_without_its_state_the_run_of_pytorch_falls_back_for_most_of_the_hundred_steps(n):
    carried, fresh = (quarters(n.loss["PyTorch"][name]) for name in ("state carried over", "state thrown away"))
    assert (fresh[:3] > 1.3 * carried[:3]).all()
    assert (fresh[1:3] > 2 * carried[1:3]).all()


def claim_without_its_state_the_run_of_keras_hardly_does(n):
    carried, fresh = (quarters(n.loss["Keras"][name]) for name in ("state carried over", "state thrown away"))
    assert 1.1 * carried[0] < fresh[0] < 1.5 * carried[0]
    assert fresh[1] < 1.3 * carried[1]


def claim_the_losses_do_not_tell_optax_from_pytorch_and_the_weights_do(n):
    runs, apart = n.loss["PyTorch"], n.weights_apart["PyTorch"]
    carried, other = runs["state carried over"], runs["optax's rule, same words"]
    np.testing.assert_allclose(other.mean(), carried.mean(), rtol=0.05)
    np.testing.assert_allclose(quarters(other), quarters(carried), rtol=0.25)
    assert apart["optax's rule, same words"] > 0.1 > 1000 * apart["state carried over"]


def claim_a_buffer_taken_number_by_number_is_a_catastrophe_and_refused(n):
    assert "learning rate" in n.refused
    assert n.number_by_number.max() > 1e6


def claim_weight_decay_means_something_else_in_pytorch(n):
    runs = n.loss["Keras"]
    carried, other = (quarters(runs[name]) for name in ("state carried over", "PyTorch's rule, same words"))
    assert (other[1:] > 2 * carried[1:]).all()
    assert other[3] > 3 * carried[3]


def claim_the_place_of_the_rate_shows_only_once_it_changes(n):
    carried, after = (n.loss["Keras"][name] for name in ("state carried over", "rate after the momentum buffer"))
    np.testing.assert_allclose(after[:51], carried[:51], atol=1e-4)
    assert np.mean(carried[50:70]) > 2 * np.mean(carried[30:50])
    assert np.mean(after[50:70]) < 1.2 * np.mean(carried[30:50])
    assert after[50:].mean() < 0.6 * carried[50:].mean()


def claim_the_state_was_kept_with_the_weights_of_the_run(n):
    for framework in ("PyTorch", "Keras"):
        others = dict(n.weights_apart[framework])
        assert others.pop("state carried over") < 1e-4
        assert min(others.values()) > 0.01
