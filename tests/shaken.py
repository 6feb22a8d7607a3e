"""A pytest plugin that holds threads up at random moments, as a busy machine does: `make shake`."""

import random
import sys
import threading
from types import FrameType

HELD_UP_ONE_CALL_IN = 200
LONGEST_S = 0.01
SHORTEST_TURN_S = 1e-6
NEVER = threading.Event()


def pytest_configure() -> None:
    """Let threads take turns as often as can be, and hold up every one but the main thread."""
    sys.setswitchinterval(SHORTEST_TURN_S)
    threading.setprofile(_hold_up)


def _hold_up(frame: FrameType, event: str, argument: object) -> None:
    if event == "call" and random.random() * HELD_UP_ONE_CALL_IN < 1:
        NEVER.wait(random.uniform(0, LONGEST_S))
