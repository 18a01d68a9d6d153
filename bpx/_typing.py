"""The few type names that every package shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# An array of whatever library the backend uses: the array API defines no common base class to name here.
Array = Any
# A module that follows the array API standard (numpy, array_api_compat.torch, array_api_strict, ...).
Namespace = Any
# Optimizer, schedule and stopping-rule state: plain data, so that it can be copied, saved and restored.
State = dict[str, Any]
ArrayMapping = Mapping[str, Array]
