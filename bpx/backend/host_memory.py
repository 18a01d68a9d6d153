"""How much memory the host has for this process: what is free and what there is, as far as the system says."""

from __future__ import annotations

import os

__all__ = ["host_memory"]

_CGROUP = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
    ),
)


def host_memory() -> tuple[int, int] | None:
    """Free and total bytes: of the machine, or of a container's or process's limit where that leaves less.

    Returns
    -------
    tuple of (int, int), or None
        None where the system does not say (Windows, macOS).
    """
    bounds = [bound for bound in (_machine(), _container(), _process()) if bound is not None]
    return min(bounds) if bounds else None


def _machine() -> tuple[int, int] | None:
    """What the kernel could give without swapping."""
    try:
        page, total = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
        free = _fields("/proc/meminfo").get("MemAvailable:")
        return (os.sysconf("SC_AVPHYS_PAGES") * page if free is None else free * 1024), total * page
    except (AttributeError, ValueError, OSError):
        return None


def _container() -> tuple[int, int] | None:
    """What a control group leaves; caches of files that it counts can be dropped."""
    for limit_in, used_in, stat in _CGROUP:
        limit, used = _fields(limit_in, value=0).get("", 0), _fields(used_in, value=0).get("", 0)
        if 0 < limit < 2**62:
            return max(0, limit - used + _fields(stat).get("inactive_file", 0)), limit
    return None


def _process() -> tuple[int, int] | None:
    """What the limit of this process's addresses (ulimit -v) leaves."""
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        used = _fields("/proc/self/status").get("VmSize:")
    except (ImportError, ValueError, OSError):
        return None
    if limit == resource.RLIM_INFINITY or used is None:
        return None
    return max(0, limit - used * 1024), limit


def _fields(path: str, value: int = 1) -> dict[str, int]:
    """The whole numbers in a file of lines "name number ...", or under "" the one that a line begins with."""
    found = {}
    try:
        with open(path, encoding="ascii", errors="replace") as lines:
            for line in lines:
                words = line.split()
                if len(words) > value and words[value].isdigit():
                    found[words[0] if value else ""] = int(words[value])
    except OSError:
        return {}
    return found
