"""Many trainings at once: a grid of settings, cross-validated, as stacks of networks.

``grid`` expands the settings, ``folds`` says which rows each training sees, ``stacks`` puts trainings together and has
threads and ranks work on them, ``networks`` trains stacks of networks that a function makes, ``table`` holds the scores.
"""
