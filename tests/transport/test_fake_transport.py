"""What the fake shows to the function behind it."""

import asyncio

from penstock.models import HttpResponse
from penstock.transport.fake import FunctionTransport, respond


def test_a_function_may_see_the_deadline_of_a_call() -> None:
    """A third parameter gets the call's own deadline, None for the usual one."""
    seen: list[float | None] = []

    def answer(path: str, body: bytes, timeout_s: float | None) -> HttpResponse:
        seen.append(timeout_s)
        return respond()

    async def run() -> None:
        transport = FunctionTransport(answer)
        await transport.send("x", b"{}", 1_200.0)
        await transport.send("x", b"{}")
        await transport.get("x")

    asyncio.run(run())
    assert seen == [1_200.0, None, None]
