"""Where arrays live: the only package that imports CuPy or PyTorch, picks a device, or copies between host and device.

``select`` decides which backend is meant; ``base`` says what a backend offers; each library has a module.
"""
