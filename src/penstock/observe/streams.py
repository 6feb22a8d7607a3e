"""A text stream that may go away: whoever watches can neither stop nor break the run."""

import io
from typing import TextIO


class SurvivingStream(io.TextIOBase):
    """Writes through to another stream, and falls silent when the other end of it is gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._gone = False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream beneath."""
        return self._stream.encoding or "utf-8"

    def isatty(self) -> bool:
        """Whether the stream beneath is a terminal."""
        return self._stream.isatty()

    def write(self, text: str) -> int:
        """Write and flush. Letters that the encoding lacks are escaped."""
        if not self._gone:
            try:
                self._stream.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding))
                self._stream.flush()
            except OSError:
                self._gone = True
        return len(text)

    def write_line(self, line: str) -> None:
        """Write `line` and end it."""
        self.write(line + "\n")
