"""How much memory of the host this process can have, where the system says it."""

from __future__ import annotations

import os

_CGROUP = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
    ),
)


def host_memory() -> tuple[int, int] | None:
    """Free and total bytes: of the machine, of the container or of the process, whichever leaves the least.

    None where the system does not say it (Windows, macOS).
    """
    bounds = [bound for bound in (_machine(), _container(), _process()) if bound is not None]
    return min(bounds) if bounds else None


def _machine() -> tuple[int, int] | None:
    """What the kernel can provide without swapping."""
    try:
        page, total = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
        free = _numbers("/proc/meminfo").get("MemAvailable:")
        return (os.sysconf("SC_AVPHYS_PAGES") * page if free is None else free * 1024), total * page
    except (AttributeError, ValueError, OSError):
        return None


def _container() -> tuple[int, int] | None:
    """What a control group leaves; its usage includes cached files, which can be dropped."""
    for limit_in, used_in, stat in _CGROUP:
        limit, used = _numbers(limit_in).get("", 0), _numbers(used_in).get("", 0)
        if 0 < limit < 2**62:
            return max(0, limit - used + _numbers(stat).get("inactive_file", 0)), limit
    return None


def _process() -> tuple[int, int] | None:
    """What the limit of this process's address space (ulimit -v) leaves."""
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        used = _numbers("/proc/self/status").get("VmSize:")
    except (ImportError, ValueError, OSError):
        return None
    if limit == resource.RLIM_INFINITY or used is None:
        return None
    return max(0, limit - used * 1024), limit


def _numbers(path: str) -> dict[str, int]:
    """The integers in a file of lines "name number ..."; a number alone has the name ""."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            lines = [line.split() for line in file if line.strip()]
    except OSError:
        return {}
    named = [(words[0], words[1]) if len(words) > 1 else ("", words[0]) for words in lines]
    return {name: int(number) for name, number in named if number.isdigit()}
