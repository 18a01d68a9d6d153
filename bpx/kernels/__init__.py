"""Kernels: formulas computed faster, with the same results to a few units in the last place.

A formula's module is the whole truth about it; a kernel says only how it is done faster. Each package of kernels has a
table ``KERNELS`` keyed by the formulas' function objects, and tables of activations and losses keyed in the same way:
a key that is misspelt, or a kernel that is missing, is an error when the package is imported.

`numpy_in_place` needs NumPy alone and writes into arrays that are there; `numba` does several steps in one pass,
compiled by Numba where it is installed; `cuda` has kernels in CUDA C++ for CuPy. `recording` turns a step made of
kernels into the list of their calls, which on CuPy becomes a CUDA graph.

NumPy's compiled kernels are single-threaded, because a second pool of threads would fight with that of the products.
They are compiled at the first training that needs them, once for each dtype (some seconds in all), and kept on disk;
later processes load them (about a second, nearly all of it Numba's own import). Environment variable ``BPX_KERNELS``:
"auto"; "eager" decides every step anew and records none; "numpy" leaves Numba out; "reference" is formulas only.
"""
