"""Where arrays live: picks devices and copies between host and device.

``select`` decides which backend is meant, ``base`` has the interface of a backend, and each library has a module. Only
this package and ``kernels`` import CuPy and PyTorch.
"""
