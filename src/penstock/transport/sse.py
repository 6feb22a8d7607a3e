"""Server-sent events: from bytes, cut anywhere, to events. https://html.spec.whatwg.org/multipage/server-sent-events.html

Lines end in LF, CR or CRLF, a byte order mark may stand first, comments (": keep-alive") and fields other than `event`
and `data` are passed over. Two things differ from a browser: an event without data is passed over too, and the last
event of a stream that has come to its end counts without the blank line behind it, which some providers leave out.
"""

Event = tuple[str, bytes]
"""The name of an event, "" where it has none, and its data."""

_BOM = b"\xef\xbb\xbf"


class EventTooLarge(Exception):
    """One event is larger than the parser was told to hold."""


class EventParser:
    """Takes the bytes of a stream in parts. Holds one event at a time, of at most `max_event_bytes`.

    `said` counts the bytes of all lines that are neither blank nor a comment, the end of a line not counted.
    """

    def __init__(self, max_event_bytes: int) -> None:
        self.said = 0
        self._max_event_bytes = max_event_bytes
        self._start: bytes | None = b""
        self._line: list[bytes] = []
        self._line_bytes = 0
        self._in_comment = False
        self._after_cr = False
        self._name = ""
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, part: bytes) -> list[Event]:
        """The events that end within these bytes. Raises `EventTooLarge`."""
        if self._start is not None:
            part = self._without_mark(part)
        if self._after_cr and part[:1] == b"\n":
            part = part[1:]
            self._after_cr = False
        if not part:
            return []
        self._after_cr = part[-1:] == b"\r"
        *ended, rest = part.splitlines(keepends=True)
        if rest[-1:] in (b"\n", b"\r"):
            ended.append(rest)
            rest = b""
        events = [event for line in ended if (event := self._end_line(line.rstrip(b"\r\n"))) is not None]
        self._begin_line(rest)
        return events

    def end(self) -> list[Event]:
        """The event that the end of the stream completes, if there is one."""
        if self._start:  # shorter than a byte order mark
            self._begin_line(self._start)
            self._start = None
        events = [self._end_line(b""), self._end_event()]
        return [event for event in events if event is not None]

    def _without_mark(self, part: bytes) -> bytes:
        """The first bytes of the stream without a byte order mark; nothing while they may still become one."""
        part = (self._start or b"") + part
        if len(part) < len(_BOM) and _BOM.startswith(part):
            self._start = part
            return b""
        self._start = None
        return part.removeprefix(_BOM)

    def _begin_line(self, part: bytes) -> None:
        """A part of a line whose end has not come."""
        if not part:
            return
        if not self._line:
            self._in_comment = self._in_comment or part[:1] == b":"
        if self._in_comment:
            return
        self._line.append(part)
        self._line_bytes += len(part)
        self.said += len(part)
        self._check_size()

    def _end_line(self, part: bytes) -> Event | None:
        """The event that ends with this line, of which `part` is all that had not come before."""
        self._begin_line(part)
        if self._in_comment:
            self._in_comment = False
            return None
        if not self._line:
            return self._end_event()
        line = self._line[0] if len(self._line) == 1 else b"".join(self._line)
        self._line.clear()
        self._line_bytes = 0
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._data_bytes += len(value) + 1
            self._check_size()
        elif name == b"event":
            self._name = value.removeprefix(b" ").decode("utf-8", "replace")
        return None

    def _end_event(self) -> Event | None:
        name, data = self._name, self._data
        self._name, self._data, self._data_bytes = "", [], 0
        return (name, b"\n".join(data)) if data else None

    def _check_size(self) -> None:
        if self._line_bytes + self._data_bytes > self._max_event_bytes:
            raise EventTooLarge
