"""Learning-rate schedules, for an optimizer's ``learning_rate=``."""

from bpx.formulas.schedules import Adaptive, Clock, Constant, Cosine, InverseScaling, Schedule, StepDecay, WarmUp

__all__ = ["Adaptive", "Clock", "Constant", "Cosine", "InverseScaling", "Schedule", "StepDecay", "WarmUp"]
