"""flexllm: a batch with its own output file, from which it can also go on; its limit of requests a second is off."""

import asyncio

from benchmarks.peers.job import MODEL, TIMEOUT_S, Job, read_job
from flexllm import LLMClient

NO_LIMIT = 1_000_000


async def main(job: Job) -> None:
    """Send every row."""
    client = LLMClient(
        base_url=job.base_url,
        api_key="none",
        model=MODEL,
        concurrency_limit=job.concurrency,
        max_qps=NO_LIMIT,
        timeout=TIMEOUT_S,
    )
    rows = list(job.conversations())
    async with client:
        results = await client.chat_batch(rows, show_progress=False, output_jsonl=str(job.output))
    results.raise_for_errors()


if __name__ == "__main__":
    asyncio.run(main(read_job()))
