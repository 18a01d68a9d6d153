"""What is said to a call with a name that bpx does not have: what other libraries mean by it, or one spelt like it."""

from bpx.wrong_calls.calls import explained, instead_of, is_told_of, is_wrong_call, named, wrong_call
from bpx.wrong_calls.values import unknown_value

__all__ = ["explained", "instead_of", "is_told_of", "is_wrong_call", "named", "unknown_value", "wrong_call"]
