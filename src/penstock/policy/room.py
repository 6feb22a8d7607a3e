"""How many calls this machine has room for: each needs an open file, and the system may give fewer than promised."""

KEPT_SHARE = 0.9
MORE_AFTER_S = 60.0


class Room:
    """`most` calls may be in flight; None where the machine has never refused one."""

    __slots__ = ("_changed_s", "most")

    def __init__(self) -> None:
        self.most: int | None = None
        self._changed_s = float("-inf")

    def refused(self, now_s: float, sent_s: float, in_flight: int) -> None:
        """No file was left for a call while so many were in flight, itself among them.

        What was sent before it was made smaller tells nothing.
        """
        if sent_s >= self._changed_s:
            self.most = max(1, min(in_flight - 1, int(KEPT_SHARE * in_flight)))
            self._changed_s = now_s

    def try_more(self, now_s: float) -> bool:
        """A tenth more, if it is time; whether it is."""
        if self.most is None or now_s < self._changed_s + MORE_AFTER_S:
            return False
        self.most += max(1, self.most // 10)
        self._changed_s = now_s
        return True
