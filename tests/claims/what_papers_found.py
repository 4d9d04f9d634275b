"""The statements of ``notebooks/5_what_papers_found.ipynb`` about its numbers, in its order."""

import numpy as np

NUMBERS = ("reddi", "transition", "wilson", "edge", "batch", "apart", "phishing", "pole")


def claim_rmsprop_with_a_short_memory_ends_at_the_worst_point(n):
    assert abs(n.reddi["RMSprop, decay 0.1"][-1] - 1) < 1e-3


def claim_a_longer_memory_the_maximum_and_adopts_order_do_not(n):
    others = {name: x[-1] for name, x in n.reddi.items() if name != "RMSprop, decay 0.1"}
    assert len(others) == 5
    assert max(others.values()) < -0.99


def claim_the_decay_that_is_needed_grows_with_the_cycle(n):
    reach = (n.transition["end"] < 0).argmax(1)
    assert (np.diff(reach) > 0).all()
    for row in n.transition["end"][:2]:  # sharp: from the worst point to the optimum from one decay to the next
        assert (np.abs(row) > 0.98).all()
    at = np.abs(n.transition["decays"] - 0.99).argmin()
    assert n.transition["end"][1, at] < -0.9
    assert n.transition["end"][3, at] > 0.9


def claim_adaptive_methods_call_every_new_point_positive(n):
    assert n.wilson["accuracy"]["SGD"] == 1
    for name in ("RMSprop", "Adam", "Adagrad"):
        assert n.wilson["accuracy"][name] == n.wilson["positives"]
        assert n.wilson["spread"][name] < 1e-3
        assert n.wilson["loss"][name] < 1e-3
    assert n.wilson["loss"]["SGD"] < 1e-3


def claim_the_preconditioned_sharpness_settles_at_two(n):
    for run in n.edge.values():
        late = run["sharpness"][len(run["sharpness"]) // 2 :]
        assert 1.9 < late.mean() < 2.3
        assert run["sharpness"][0] < 1
        assert run["products"].mean() < 40


def claim_the_rates_rise_while_the_curvature_falls(n):
    for run in n.edge.values():
        half = len(run["rate"]) // 2
        assert run["rate"][-1] > 2 * run["rate"][half]
        assert run["plain"][-1] < 0.75 * run["plain"][half]


def claim_the_square_root_rule_keeps_the_course(n):
    for (_, size), (root, linear, same) in n.apart.items():
        assert root < (1.5 if size == 4 else 6)
        assert min(linear, same) > 2.5 * root


def claim_our_score_is_rivers(n):
    assert round(100 * n.phishing["f1"], 2) == 87.24
    assert n.phishing["rows"] == 1250


def claim_the_zoos_epsilon_holds_the_pole_and_the_other_does_not(n):
    zoo, other = n.pole["score"].values()
    assert (zoo.max(1) == 500).all()
    assert other.max() < 300
    assert zoo[:, 4:].mean() > 2 * other[:, 4:].mean()
