"""lm-deluge: one client, every prompt handed over at once, limits set so high that they never bind."""

import asyncio
import json
import os

from benchmarks.peers.job import TIMEOUT_S, Job, read_job
from lm_deluge import Conversation, LLMClient
from lm_deluge.models import register_model

NO_LIMIT = 1_000_000_000


async def main(job: Job) -> None:
    """Send every row and write the answers at the end."""
    os.environ["BENCH_API_KEY"] = "none"
    register_model(
        id="bench",
        name="gpt-4o",
        api_base=job.base_url,
        api_key_env_var="BENCH_API_KEY",
        input_cost=2.5,
        output_cost=10,
    )
    client = LLMClient(
        "bench",
        max_requests_per_minute=NO_LIMIT,
        max_tokens_per_minute=NO_LIMIT,
        max_concurrent_requests=job.concurrency,
        request_timeout=TIMEOUT_S,
        progress="manual",
    )
    prompts = [Conversation.from_openai_chat(messages) for messages in job.conversations()]
    responses = await client.process_prompts_async(prompts, show_progress=False)
    with job.output.open("w") as output:
        for response in responses:
            assert response.completion, response.error_message
            output.write(json.dumps({"answer": response.completion}) + "\n")


if __name__ == "__main__":
    asyncio.run(main(read_job()))
