"""Rules that end training, for ``bpx.fit(..., stop=)``."""

from bpx.training.stopping import ErrorRate, MaxWeightChange, Patience, StopRule, TargetLoss, TimeLimit

__all__ = ["ErrorRate", "MaxWeightChange", "Patience", "StopRule", "TargetLoss", "TimeLimit"]
