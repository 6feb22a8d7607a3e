"""What `penstock ctl` does to a run that works."""

from collections.abc import Callable

from penstock.clock import Clock
from penstock.control.commands import Command, Drain, Pause, ReloadKeys, Resume, SetValue, Stop, checked, shown
from penstock.engine.dispatcher import Dispatcher
from penstock.engine.gate import Gate
from penstock.engine.shutdown import Shutdown
from penstock.events import Snapshot
from penstock.pools import Pools


class Steering:
    """Takes the commands. `reload_pools` reads endpoints and keys again, `live` says how the run stands."""

    def __init__(
        self,
        gate: Gate,
        dispatcher: Dispatcher,
        shutdown: Shutdown,
        clock: Clock,
        reload_pools: Callable[[], Pools],
        live: Callable[[], Snapshot],
    ) -> None:
        self._gate = gate
        self._dispatcher = dispatcher
        self._shutdown = shutdown
        self._clock = clock
        self._reload_pools = reload_pools
        self.live = live
        self.set_live: dict[str, None] = {}
        """Options that were set, in the order of the first time."""

    async def control(self, command: Command) -> str:
        """Do it; the words for the person. Raises `UsageError` for what cannot be."""
        words = self._do(command)
        self._dispatcher.pump()
        return words

    def _do(self, command: Command) -> str:
        match command:
            case Pause():
                self._gate.paused = True
                return f"Paused: {self._in_flight()} may still land. Go on with resume."
            case Resume():
                self._gate.paused = False
                return "Going on."
            case SetValue():
                setting = checked(command)
                self._gate.set_value(self._clock.monotonic_s(), setting.name, setting.value)
                self.set_live[setting.name.replace("_", "-")] = None
                return f"{setting.name.replace('_', '-')} is now {shown(setting.value)}."
            case ReloadKeys():
                return f"Read again: {self._gate.reload(self._reload_pools())}."
            case Drain():
                words = f"Stopping: {self._in_flight()} may still land."
                self._shutdown.request_at_least(1)
                return words
            case Stop():
                words = f"Stopping now: {self._in_flight()} given up, which may be billed."
                self._shutdown.request_at_least(2)
                return words

    def _in_flight(self) -> str:
        count = self._dispatcher.in_flight
        return "1 call in flight" if count == 1 else f"{count} calls in flight"
