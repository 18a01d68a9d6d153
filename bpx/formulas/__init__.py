"""Pure mathematics in the array API's functions: each formula once, with its equation, derivative and source.

A function takes the namespace `xp` first, then arrays. ``out=`` is a hint that a fused kernel may use and a formula
may ignore: use the returned array. All formulas act on the last axes, so that leading axes are a stack of networks.
"""
