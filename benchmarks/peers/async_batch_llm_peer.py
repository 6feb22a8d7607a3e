"""async-batch-llm, since renamed llm-minder: its worker pool over the openai SDK, results written as they come."""

import asyncio
import json
from collections.abc import Iterator

from async_batch_llm import ProcessorConfig, llm, process_stream
from benchmarks.peers.job import MODEL, TIMEOUT_S, Job, read_job


def prompts(job: Job) -> Iterator[tuple[str, str]]:
    """The texts; messages cannot be given."""
    for index, messages in enumerate(job.conversations()):
        yield str(index), messages[0]["content"]


async def main(job: Job) -> None:
    """Send every row."""
    strategy = llm(f"openai-compatible:{MODEL}", base_url=job.base_url, api_key="none", max_connections=job.concurrency)
    config = ProcessorConfig(
        concurrency=job.concurrency,
        attempt_timeout=TIMEOUT_S,
        max_queue_size=4 * job.concurrency,
        max_result_queue_size=4 * job.concurrency,
    )
    with job.output.open("w") as output:
        async for result in process_stream(strategy, prompts(job), config=config):
            assert result.success, result.error
            output.write(json.dumps({"key": result.item_id, "answer": result.output}) + "\n")


if __name__ == "__main__":
    asyncio.run(main(read_job()))
