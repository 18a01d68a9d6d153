"""Checks that bpx is right: gradients against differences, backend against backend, one step number by number."""
