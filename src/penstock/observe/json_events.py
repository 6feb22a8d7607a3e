"""Progress for programs (`--json`): every event as one JSON object per line, its kind under `type`."""

from typing import TextIO

import msgspec

from penstock.events import Event
from penstock.observe.streams import SurvivingStream


class JsonObserver:
    """Writes the events of `penstock.events` as they are, to `stream`."""

    interval_s = 1.0

    def __init__(self, stream: TextIO) -> None:
        self._stream = SurvivingStream(stream)
        self._encoder = msgspec.json.Encoder()

    def __call__(self, event: Event) -> None:
        """Write `event` as one line."""
        self._stream.write_line(self._encoder.encode(event).decode())

    def close(self) -> None:
        """Nothing is held open."""
