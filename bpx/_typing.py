"""Names of types that all packages share."""

from __future__ import annotations

from typing import Any

# An array of the backend's library: the array API defines no base class or protocol for all of them.
Array = Any
# A module that follows the array API standard (numpy, array_api_compat.torch, array_api_strict, ...).
Namespace = Any
# Optimizer, schedule and stopping-rule state: plain data, so that it can be copied, saved and restored.
State = dict[str, Any]
