"""What a transport has to know of its endpoint before the first call."""

from urllib.parse import urlsplit

import msgspec

from penstock.redaction import Secret


class TransportSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint and how to call it.

    `timeout_s` bounds a call from connecting to the last byte, `idle_timeout_s` the silence within it. `headers` go
    with every request and win over the usual ones. `ca_file` is a PEM file of authorities to trust as well. A body has
    to bring `min_progress_bytes` in each `progress_window_s`; `transport.progress` has the whole rule.
    Where calls end less than `brisk_gap_s` apart on average, the first 16 KiB of an answer are read in one step and not
    watched, which saves a good part of the work; the deadline holds. `concurrency` is the most idle connections kept: a
    high ceiling costs nothing until they are there.
    """

    base_url: str
    api_key: Secret | None = None
    headers: dict[str, str] = {}
    timeout_s: float
    connect_timeout_s: float
    idle_timeout_s: float | None = None
    min_progress_bytes: int = 256
    progress_window_s: float = 30.0
    brisk_gap_s: float = 0.002
    max_response_bytes: int
    concurrency: int
    ca_file: str | None = None

    @property
    def host(self) -> str:
        """Host, and port where it is not the usual one, as messages name it."""
        return urlsplit(self.base_url).netloc.rpartition("@")[2]

    @property
    def effective_connect_timeout_s(self) -> float:
        """The connect time-out, kept below the others.

        The HTTP client cannot say whether one of the others struck before or after the request was sent, so they must
        never strike first while connecting.
        """
        others = [limit for limit in (self.timeout_s, self.idle_timeout_s) if limit is not None]
        return min(self.connect_timeout_s, 0.9 * min(others))
