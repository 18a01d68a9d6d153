"""Kernels: formulas computed faster, with the same results to a few units in the last place.

A formula's module is the whole truth about it; a kernel says only how it is done faster. Each package of kernels has a
table ``KERNELS`` keyed by the formulas' function objects, and tables of activations and losses keyed in the same way:
a key that is misspelt, or a kernel that is missing, is an error when the package is imported.

`numpy_in_place` needs NumPy alone and writes into arrays that are there; `native` has kernels in C, compiled when bpx
is installed, and runs many steps in one call; `cuda` has kernels in CUDA C++ for CuPy. `recording` turns a step made of
kernels into the list of their calls, which on CuPy becomes a CUDA graph.

Environment variables: ``BPX_KERNELS`` is "auto"; "eager" decides every step anew and records none; "numpy" leaves the
kernels in C out; "reference" is formulas only. ``BPX_INSTRUCTIONS`` forces an instruction set of those in C, and
``BPX_THREADS`` is how many threads they may have.
"""
