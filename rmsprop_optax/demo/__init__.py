"""A small training that compares dialects: handwritten digits and a convolutional network in Flax NNX.

``python -m rmsprop_optax`` runs it:

- ``options`` makes the optimizers from the words of the command line.
- ``data`` and ``model`` have the images and the network.
- ``training`` yields one row of numbers an epoch.
- ``progress`` shows the rows during the run.
- ``report`` writes them.

Beside it, ``scale`` is a training on many devices to copy from, and ``checkpoints`` saves both trainings. All modules
need the extra: ``pip install 'rmsprop-optax[demo]'``.
"""
