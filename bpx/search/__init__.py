"""Many trainings at once: a grid of settings, cross-validated, as stacks of networks.

``grid`` expands the settings, ``folds`` and ``rows`` say what each training sees, ``recipes`` what a setting means;
``stacks`` puts trainings together for threads and ``ranks``; ``networks`` trains stacks of networks that a function
makes, where ``ending`` lets each stop by itself; ``scoring`` scores them, ``table`` holds the scores.
"""
