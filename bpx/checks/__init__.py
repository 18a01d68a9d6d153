"""Checks of correctness: gradients against differences, backend against backend, every number of a training step."""
