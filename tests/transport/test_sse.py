"""Server-sent events: what the bytes of a stream say, wherever they are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.transport.sse import Event, EventParser, EventTooLarge


def events_of(*pieces: bytes, most: int = 1_000_000) -> list[Event]:
    """What a parser hears in these pieces, up to the end of the stream."""
    parser = EventParser(most)
    return [event for piece in pieces for event in parser.feed(piece)] + parser.end()


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        pytest.param(b"data: a\n\ndata: b\n\n", [("", b"a"), ("", b"b")], id="two events"),
        pytest.param(b"data:a\n\n", [("", b"a")], id="no blank behind the colon"),
        pytest.param(b"data:  a \n\n", [("", b" a ")], id="one blank is taken away, no more"),
        pytest.param(b"data: a\ndata: b\n\n", [("", b"a\nb")], id="several lines of data"),
        pytest.param(b"data\ndata\n\n", [("", b"\n")], id="a field without a colon"),
        pytest.param(b"event: ping\ndata: {}\n\n", [("ping", b"{}")], id="a name"),
        pytest.param(b"event: a\n\ndata: x\n\n", [("", b"x")], id="a name without data names nothing"),
        pytest.param(b"event: a\nevent: b\ndata: x\n\n", [("b", b"x")], id="the last name counts"),
        pytest.param(b": keep-alive\n\n: PROCESSING\n\ndata: a\n\n", [("", b"a")], id="comments"),
        pytest.param(b"data: a\n: between\ndata: b\n\n", [("", b"a\nb")], id="a comment inside an event"),
        pytest.param(b"id: 7\nretry: 10\nother: x\ndata: a\n\n", [("", b"a")], id="fields that say nothing here"),
        pytest.param(b"data: a\r\n\r\ndata: b\r\n\r\n", [("", b"a"), ("", b"b")], id="CRLF"),
        pytest.param(b"data: a\r\rdata: b\r\r", [("", b"a"), ("", b"b")], id="CR"),
        pytest.param(b"data: a\r\n\ndata: b\r\r\n", [("", b"a"), ("", b"b")], id="all mixed"),
        pytest.param(b"\xef\xbb\xbfdata: a\n\n", [("", b"a")], id="a byte order mark"),
        pytest.param(b"\n\n\ndata: a\n\n\n\n", [("", b"a")], id="more blank lines"),
        pytest.param(b"data: a\n\ndata: [DONE]", [("", b"a"), ("", b"[DONE]")], id="no blank line at the end"),
        pytest.param(b"data: a\n\n: bye", [("", b"a")], id="a comment at the end"),
        pytest.param(b"data: \xe6\xb5\x81\n\n", [("", "流".encode())], id="more than one byte a character"),
        pytest.param(b"data: a\x0bb\x0c\xc2\x85\n\n", [("", b"a\x0bb\x0c\xc2\x85")], id="no other line ends"),
        pytest.param(b"", [], id="nothing"),
        pytest.param(b"\xef\xbb", [], id="less than a byte order mark"),
    ],
)
def test_what_a_stream_says(stream: bytes, events: list[Event]) -> None:
    """The same in one piece, in single bytes, and cut once at every place."""
    assert events_of(stream) == events
    assert events_of(*(stream[at : at + 1] for at in range(len(stream)))) == events
    for at in range(len(stream)):
        assert events_of(stream[:at], stream[at:]) == events


ALPHABET = [b"data", b"event", b":", b": ", b"\r", b"\n", b"\r\n", b"\n\n", b"x", b"\xef\xbb\xbf", b"\xff", b"{}"]


@given(st.lists(st.sampled_from(ALPHABET), max_size=30).map(b"".join), st.data())
def test_cuts_change_nothing(stream: bytes, data: st.DataObject) -> None:
    """Whatever the stream, the same events come out wherever it is cut, and the same bytes count."""
    whole, cut = EventParser(10_000), EventParser(10_000)
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    edges = [0, *places, len(stream)]
    heard = [e for start, end in pairwise(edges) for e in cut.feed(stream[start:end])]
    assert heard + cut.end() == whole.feed(stream) + whole.end()
    assert cut.said == whole.said


def test_an_event_is_told_with_its_blank_line() -> None:
    """Not with the next one: a stream that falls silent owes nothing."""
    parser = EventParser(100)
    assert parser.feed(b"data: a\n") == []
    assert parser.feed(b"\n") == [("", b"a")]
    assert parser.feed(b"data: b\r") == []
    assert parser.feed(b"\r") == [("", b"b")]


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(b"data: " + b"x" * 100, id="a long line that does not end"),
        pytest.param(b"data: " + b"x" * 100 + b"\n", id="a long line"),
        pytest.param(b"data: xxxxxxxxx\n" * 10, id="many lines of one event"),
        pytest.param(b"data:\n" * 100, id="many empty lines of one event"),
        pytest.param(b"other" * 20, id="a field that says nothing"),
    ],
)
def test_an_event_may_not_be_too_large(stream: bytes) -> None:
    """What is held for one event is bounded, in one piece and in many."""
    with pytest.raises(EventTooLarge):
        events_of(stream, most=64)
    with pytest.raises(EventTooLarge):
        events_of(*(stream[at : at + 1] for at in range(len(stream))), most=64)


def test_comments_are_not_held() -> None:
    """A comment may be as long as it likes, and so may a stream of small events."""
    parser = EventParser(64)
    for _ in range(100):
        assert parser.feed(b": and so on and on") == []
    assert parser.feed(b"\n" + b"data: x\n\n" * 100) == [("", b"x")] * 100


def test_only_what_is_said_counts() -> None:
    """Blank lines and comments are no progress; a line that has not ended is."""
    parser = EventParser(100)
    parser.feed(b": keep-alive\n\n\r\n: kee")
    assert parser.said == 0
    parser.feed(b"p-alive\ndata: ")
    assert parser.said == 6
    parser.feed(b"ab\n\n")
    assert parser.said == 8
