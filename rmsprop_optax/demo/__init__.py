"""A small training run: handwritten digits, a convolutional network in Flax NNX, and the dialects side by side.

``python -m rmsprop_optax`` runs it: ``options`` makes the transformations, ``data`` and ``model`` what they train,
``training`` yields one row of numbers an epoch, ``progress`` shows the rows as they come, ``report`` writes them down.
``lecture`` is apart from it: the experiments of the first notebook. All need the extra:
``pip install 'rmsprop-optax[demo]'``.
"""
