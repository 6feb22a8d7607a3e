"""litellm: `acompletion` behind a semaphore, as its documentation shows it; results written as they come."""

import asyncio
import json
import os
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or its import asks the network for prices
import litellm
from benchmarks.peers.job import MODEL, TIMEOUT_S, Job, read_job


async def main(job: Job) -> None:
    """Send every row."""
    places = asyncio.Semaphore(job.concurrency)
    with job.output.open("w") as output:

        async def ask(messages: list[dict[str, Any]]) -> None:
            async with places:
                answer = await litellm.acompletion(
                    model=f"openai/{MODEL}",
                    messages=messages,
                    api_base=job.base_url,
                    api_key="none",
                    timeout=TIMEOUT_S,
                    num_retries=0,
                )
            output.write(json.dumps({"answer": answer.choices[0].message.content}) + "\n")

        await asyncio.gather(*map(ask, job.conversations()))


if __name__ == "__main__":
    asyncio.run(main(read_job()))
