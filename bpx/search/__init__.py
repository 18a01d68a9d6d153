"""Many trainings at once: a grid of settings, cross-validated, as stacks of networks.

``sweep`` is the public function and ``sweep_table`` its result. ``driver`` runs a search: it puts ``trials`` into
stacks for threads and ranks. ``networks`` and ``estimators`` are the two kinds of search; ``grid`` expands the
settings, ``folds`` says which rows each training uses, ``trial_config`` what a setting of a network means, ``scoring``
how networks are scored, and ``member_stopping`` stops each network of a stack by itself.
"""
