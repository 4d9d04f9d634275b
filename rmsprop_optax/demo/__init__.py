"""A small training that compares optimizers: handwritten digits and a convolutional network in Flax NNX.

``rmsprop-optax train`` runs it:

- ``data`` and ``model`` have the examples and the networks.
- ``training`` yields one row of numbers an epoch.
- ``progress`` shows the rows during the run.
- ``report`` writes and draws them.

Beside it, ``scale`` is a training on many devices to copy from, and ``checkpoints`` saves both trainings. All modules
need the extra ``demo``: ``pip install '.[demo]'`` in a clone of the repository.
"""
