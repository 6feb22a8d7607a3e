"""The limit of open files and the concurrency it allows."""

import resource

import pytest

from penstock.transport.open_files import decide_open_files, raise_open_files

INFINITE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("concurrency", "soft", "hard", "decided"),
    [
        (200, 1024, 4096, (1024, 200)),
        (824, 1024, 4096, (1024, 824)),
        (2000, 1024, 4096, (2200, 2000)),
        (5000, 1024, 4096, (4096, 3896)),
        (5000, 1024, INFINITE, (5200, 5000)),
        (5000, INFINITE, INFINITE, (INFINITE, 5000)),
        (5000, 1024, 1024, (1024, 824)),
        (50, 100, 100, (100, 1)),
    ],
)
def test_limit_and_concurrency(concurrency: int, soft: int, hard: int, decided: tuple[int, int]) -> None:
    """The soft limit rises to the need and not beyond the hard one; concurrency shrinks to what is possible."""
    assert decide_open_files(concurrency, soft, hard) == decided


def test_the_limit_of_this_process_rises() -> None:
    """The process gets the files that it was told it needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        possible = raise_open_files(300)
        raised, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (possible, raised) == (300, 500)
