"""Who takes part: Penstock, the two bare loops, the script written by hand, and the peers.

Each is a command that reads the same file of rows, sends every row to the same place with as many calls at once, and
ends. What each leaves undone stands beside it, for it is not counted in its favour or against it.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from benchmarks.environments import OWN, python_of, versions_of
from benchmarks.peers.job import MODEL, TIMEOUT_S


class Job(msgspec.Struct, frozen=True):
    """What a contender is to do: `rows` is a file of `count` rows."""

    rows: Path
    count: int
    base_url: str
    concurrency: int
    latency_s: float = 0.0
    ca_file: Path | None = None


class Contender(msgspec.Struct, frozen=True):
    """One that takes part.

    `environment` is the name of its lock file, or none where it runs in Penstock's own. `roughly_per_s` is about what
    it does where answers take no time, `most_at_once` how many calls it can have in flight whatever it is told: they
    only say how many rows fill the time that a run is to take.
    """

    name: str
    script: str
    environment: str | None
    package: str | None
    roughly_per_s: int
    keeps: str
    lacks: str
    most_at_once: int | None = None

    @property
    def version(self) -> str:
        """Which release it is, or of what it is made."""
        if self.environment is None or self.package is None:
            return "this checkout"
        return versions_of(self.environment)[self.package]

    def reaches_per_s(self, concurrency: int, latency_s: float) -> float:
        """About what it does at best where answers take so long."""
        at_once = min(concurrency, self.most_at_once or concurrency)
        return min(self.roughly_per_s, at_once / latency_s) if latency_s else self.roughly_per_s

    def command(self, job: Job, output: Path) -> list[str | Path]:
        """How it is run. Raises `NoEnvironment`."""
        python = OWN if self.environment is None else python_of(self.environment)
        words: list[str | Path] = [python, "-m", f"benchmarks.peers.{self.script}", job.base_url, job.rows]
        words += [str(job.concurrency), output]
        return words + (["--ca-file", job.ca_file] if job.ca_file else [])


class Penstock(Contender, frozen=True):
    """`penstock run`, as a user types it, and `options` more."""

    options: tuple[str, ...] = ()

    def command(self, job: Job, output: Path) -> list[str | Path]:
        """The prompt is a template, the rows that have messages go as they are; everything is on."""
        words = ["--base-url", job.base_url, "--model", MODEL, "--timeout", str(TIMEOUT_S), "--fresh"]
        words += ["--concurrency", str(job.concurrency), *self.options]
        asks = [] if _has_messages(job.rows) else ["--prompt", "Classify: {{ text }}"]
        trusts: list[str | Path] = ["--ca-file", job.ca_file] if job.ca_file else []
        return [OWN.parent / "penstock", "run", job.rows, "-o", output, *words, *asks, *trusts]


PENSTOCK = Penstock(
    name="penstock",
    script="",
    environment=None,
    package=None,
    roughly_per_s=9_000,
    keeps="journal, JSONL in input order, costs, resume, retries, gate, progress",
    lacks="",
)
BARE_PYREQWEST = Contender(
    name="bare pyreqwest loop",
    script="bare_pyreqwest",
    environment=None,
    package=None,
    roughly_per_s=20_000,
    keeps="nothing",
    lacks="decoding, output, journal, resume, retries, limits, costs",
)
BARE_AIOHTTP = Contender(
    name="bare aiohttp loop",
    script="bare_aiohttp",
    environment="aiohttp",
    package="aiohttp",
    roughly_per_s=9_500,
    keeps="nothing",
    lacks="decoding, output, journal, resume, retries, limits, costs",
)
BY_HAND = Contender(
    name="gather in chunks, by hand",
    script="by_hand",
    environment="aiohttp",
    package="aiohttp",
    roughly_per_s=6_500,
    keeps="an output line per answer",
    lacks="resume, retries, limits, costs, input order; 100 connections at most",
    most_at_once=100,
)
LM_DELUGE = Contender(
    name="lm-deluge",
    script="lm_deluge_peer",
    environment="lm-deluge",
    package="lm-deluge",
    roughly_per_s=2_800,
    keeps="costs, retries, limits, input order",
    lacks="journal, resume; all rows and answers are held in memory and kept at the end",
)
FLEXLLM = Contender(
    name="flexllm",
    script="flexllm_peer",
    environment="flexllm",
    package="flexllm",
    roughly_per_s=1_300,
    keeps="JSONL that it can resume from (flushed each second, not synced), retries",
    lacks="token limits, a shared wait after a 429; all rows are held in memory",
)
ASYNC_BATCH_LLM = Contender(
    name="async-batch-llm",
    script="async_batch_llm_peer",
    environment="async-batch-llm",
    package="async-batch-llm",
    roughly_per_s=330,
    keeps="an output line per answer (ours), retries, limits",
    lacks="prices, input order; its checkpoints are left off here",
)
LITELLM = Contender(
    name="litellm",
    script="litellm_peer",
    environment="litellm",
    package="litellm",
    roughly_per_s=140,
    keeps="an output line per answer (ours), costs",
    lacks="journal, resume, limits, input order; a task per row is held in memory",
)
PEERS: Sequence[Contender] = (BARE_AIOHTTP, BY_HAND, LM_DELUGE, FLEXLLM, ASYNC_BATCH_LLM, LITELLM)
ALL: Sequence[Contender] = (BARE_PYREQWEST, PENSTOCK, *PEERS)


def _has_messages(rows: Path) -> bool:
    with rows.open("rb") as lines:
        return b'"messages"' in lines.readline()
