"""Fast twins of formulas on the CPU: same names, same signatures, same results to a few units in the last place.

A formula's module is the whole truth about it; a kernel says only how it is fused. Kernels are single-threaded, because
a second pool of threads would fight with that of the matrix products. They are compiled by Numba at the first training
that needs them, once for each dtype (some seconds in all), and kept on disk; later processes load them (about a second,
nearly all of it Numba's own import). Environment variable ``BPX_KERNELS=reference``: formulas only.
"""
