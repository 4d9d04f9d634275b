"""The experiments of the notebooks: functions that return plain arrays. They are not part of the package.

A notebook runs in its own folder, so ``from experiments import lecture`` works there; elsewhere put ``notebooks`` on
``PYTHONPATH``.

- ``lecture``: the argument of Hinton's lecture, for ``1_why_rmsprop``.
- ``which``: one dialect instead of another, for ``2_which_rmsprop``.
- ``elsewhere``: a training that another framework began, for ``3_from_other_frameworks``.
- ``memory`` with ``text``: short states, for ``4_memory_and_scale``.
- ``papers``: published results, for ``5_what_papers_found``.
- ``front``: the figure of the README.
"""
