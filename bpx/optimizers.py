"""First-order optimizers, for ``bpx.fit(..., optimizer=)``."""

from bpx.formulas.optimizers import OPTIMIZERS, SGD, Adagrad, Adam, AdamW, Optimizer, OptimizerName, RMSprop, get

__all__ = ["OPTIMIZERS", "SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "OptimizerName", "RMSprop", "get"]
