"""Long prompts, long answers, images: what is carried per second, and the memory that it takes."""

from benchmarks.bench import Bench, Shown
from benchmarks.contenders import BARE_AIOHTTP, BARE_PYREQWEST, BY_HAND, LM_DELUGE, PENSTOCK, Job
from benchmarks.results import Table, figure
from benchmarks.tasks import make_image_rows, make_long_rows, make_rows

CONCURRENCY = 200
PROMPT_BYTES = 200_000
IMAGE_BYTES = 300_000
LONG_ANSWER_KB = 20
CONTENDERS = (BARE_PYREQWEST, PENSTOCK, BARE_AIOHTTP, BY_HAND, LM_DELUGE)
HEAD = ["bodies", "contender", "rows", "req/s", "sent", "received", "CPU per request", "peak memory"]
NOTE = (
    f"{CONCURRENCY} at once, answers without delay; whole processes. MB/s are on the wire, as the server counts them."
)


def bodies(bench: Bench) -> Table:
    """A line for each contender and each kind of body."""
    lines = []
    for title, job in _jobs(bench).items():
        shown = bench.in_turns([(contender, job) for contender in CONTENDERS], rounds=1 if bench.quick else None)
        lines += [_line(title, one, job) for one in shown]
        if job.rows.stat().st_size > PROMPT_BYTES * 100:
            job.rows.unlink()
    return Table("Long bodies", HEAD, lines, NOTE)


def _jobs(bench: Bench) -> dict[str, Job]:
    few, many = (300, 4_000) if bench.quick else (1_000, 10_000)
    at_once = bench.server.at_once
    long_answers = bench.server.base_url(0.0, LONG_ANSWER_KB)
    prompts = bench.file("prompts.jsonl", make_long_rows, few, PROMPT_BYTES)
    images = bench.file("images.jsonl", make_image_rows, few, IMAGE_BYTES)
    short = bench.file(f"{many}.jsonl", make_rows, many)
    return {
        f"prompts of {PROMPT_BYTES // 1000} kB": Job(prompts, few, at_once, CONCURRENCY),
        f"answers of {LONG_ANSWER_KB} kB": Job(short, many, long_answers, CONCURRENCY),
        f"images of {IMAGE_BYTES // 1000} kB in base64": Job(images, few, at_once, CONCURRENCY),
    }


def _line(title: str, one: Shown, job: Job) -> list[str]:
    what = [title, one.contender.name, f"{job.count:,}"]
    if one.failure is not None:
        return [*what, f"failed: {one.failure.reason}", *["–"] * 4]
    return [
        *what,
        figure(one.median(lambda ran: ran.per_s)),
        figure(one.median(lambda ran: ran.sent_mb_per_s), " MB/s"),
        figure(one.median(lambda ran: ran.received_mb_per_s), " MB/s"),
        figure(one.median(lambda ran: ran.cpu_us), " µs"),
        figure(max(ran.peak_mb for ran in one.runs), " MB"),
    ]
