"""A small training run: handwritten digits, a convolutional network in Flax NNX, and the dialects side by side.

``python -m rmsprop_optax`` runs it: ``options`` makes the transformations, ``data`` and ``model`` what they train,
``training`` yields one row of numbers an epoch, ``progress`` shows the rows as they come, ``report`` writes them down.
``scale`` is a training on many devices to copy from, and ``checkpoints`` saves either. Apart from them: ``front`` draws
the figure of the README, and ``lecture``, ``which``, ``elsewhere`` and ``memory`` with its ``text`` are the experiments
of the notebooks. All need the extra: ``pip install 'rmsprop-optax[demo]'``.
"""
