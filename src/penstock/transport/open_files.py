"""Room for connections: each call in flight needs an open file."""

import resource

SPARE_FILES = 200
"""For the journal, sources, sinks, name lookups, and connections that are just closing."""


def decide_open_files(concurrency: int, soft: int, hard: int) -> tuple[int, int]:
    """The soft limit to ask for, and the concurrency that it allows (at least 1). Never lowers the limit."""
    need = concurrency + SPARE_FILES
    if soft == resource.RLIM_INFINITY or soft >= need:
        return soft, concurrency
    reachable = need if hard == resource.RLIM_INFINITY else max(soft, min(need, hard))
    return reachable, possible_concurrency(concurrency, reachable)


def possible_concurrency(concurrency: int, soft: int) -> int:
    """As much of `concurrency` as a soft limit of `soft` open files allows, at least 1."""
    return max(1, min(concurrency, soft - SPARE_FILES))


def raise_open_files(concurrency: int) -> int:
    """Raise this process's limit of open files as far as `concurrency` needs; return the concurrency now possible."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted, possible = decide_open_files(concurrency, soft, hard)
    if wanted == soft:
        return possible
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS has a lower ceiling than the hard limit says
        return possible_concurrency(concurrency, soft)
    return possible
