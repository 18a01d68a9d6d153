"""Fast twins of formulas: same names, same signatures, same results to a few units in the last place.

A formula's module is the whole truth about it; a kernel says only how it is done faster. On NumPy there are two kinds:
`numpy_in_place` needs NumPy alone and writes into arrays that are there; `numba` does several steps in one pass,
compiled by Numba where it is installed. On CuPy there is `cuda`, kernels in CUDA C++. `recording` turns a step
made of kernels into the list of their calls, which on CuPy becomes a CUDA graph.

NumPy's fused kernels are single-threaded, because a second pool of threads would fight with that of the products. They
are compiled at the first training that needs them, once for each dtype (some seconds in all), and kept on disk; later
processes load them (about a second, nearly all of it Numba's own import). Environment variable ``BPX_KERNELS``:
"auto"; "eager" decides every step anew and records none; "numpy" leaves Numba out; "reference" is formulas only.
"""
