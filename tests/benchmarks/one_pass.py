"""The time of a step in one pass on a CPU: ``python -m tests.benchmarks one_pass``.

Ours is wrapped in ``one_pass``. The process has the XLA option that ``one_pass`` needs, also for the peers in JAX. The
method is that of [update_time](update_time.md); a ratio below 1 means that ours is faster.
"""

import os
from pathlib import Path

import optax

from rmsprop_optax import rmsprop
from rmsprop_optax.experimental import one_pass
from tests.benchmarks import peers, side_by_side, update_time

FLAGS = "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion"
BESIDE = ("optax.rmsprop", "PyTorch RMSprop, torch.compile", "one pass in C")
OPTIONS = {
    **update_time.OPTIONS,
    "momentum, Nesterov, weight decay": {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-4},
}


def pairs():
    """Peer, how ours is made and theirs."""
    for peer in BESIDE:
        if peer in peers.PEERS:
            yield peer, peers.jitted(one_pass(rmsprop(1e-3))), peers.PEERS[peer]
    for name, options in OPTIONS.items():
        ours = peers.jitted(one_pass(rmsprop(1e-3, **options)))
        if name in update_time.OPTIONS:
            yield f"optax.rmsprop, both {name}", ours, peers.jitted(optax.rmsprop(1e-3, **options))
        yield f"ours without one_pass, both {name}", ours, peers.jitted(rmsprop(1e-3, **options))


def main() -> None:
    os.environ["XLA_FLAGS"] = FLAGS  # before JAX starts: __main__ gives each benchmark a process
    found = list(update_time.compare(pairs, update_time.TREES))
    text = update_time.markdown(found, "Time of a step in one pass", __doc__)
    side_by_side.write(Path(__file__), text, {"rows": found})


if __name__ == "__main__":
    main()
