"""What batching and lanes bring: the server as it is, against itself with one lane and one row a run.

    python benchmarks/serving.py                          # an untrained DCGAN of 32×32 RGB images
    python benchmarks/serving.py --models models --model digits

Both servers run at once, on one machine with the load; rounds are interleaved, and each figure is the median of its
rounds with their range. Speed does not depend on what the weights have learnt.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from command import run
from ganserve.client import AsyncClient
from ganserve.exporter.benchmark import Spread
from ganserve.flags import Rounds
from servers import export_untrained, serving

Load = Callable[[AsyncClient], Awaitable[int]]


async def one_sample_each(client: AsyncClient, num_callers: int = 32, calls_each: int = 25) -> int:
    """Callers that each ask for one sample at a time, all at once."""

    async def call(caller: int) -> None:
        for i in range(calls_each):
            await client.generate(1, seed=caller, first_index=i)

    await asyncio.gather(*map(call, range(num_callers)))
    return num_callers * calls_each


async def one_caller_many_samples(client: AsyncClient, num_calls: int = 10) -> int:
    """One caller that asks for 64 samples at a time."""
    for seed in range(num_calls):
        await client.generate(64, seed=seed)
    return num_calls * 64


async def one_stream(client: AsyncClient, count: int = 2_000) -> int:
    """One stream."""
    return sum([len(samples) async for samples in client.stream(count, seed=1)])


LOADS: dict[str, Load] = {
    "32 callers, one sample a call": one_sample_each,
    "1 caller, 64 samples a call": one_caller_many_samples,
    "1 stream": one_stream,
}


def main(*, models: Path | None = None, model: str = "dcgan", rounds: Rounds = 7) -> None:
    """Measure the server.

    Args:
        models: Folder of bundles; left out, an untrained DCGAN is exported for the purpose.
        model: The model to ask.
        rounds: Rounds of each load on each server.
    """
    with ExitStack() as stack:
        if models is None:
            models = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            export_untrained(models, model)
        plain = stack.enter_context(serving(models, "--lanes", "1", "--max-batch", "1"))
        batching = stack.enter_context(serving(models))
        rates = asyncio.run(measure([plain.address, batching.address], model, rounds))
    show(rates, model)


async def measure(addresses: list[str], model: str, rounds: int) -> dict[str, list[list[float]]]:
    """Images/s of each load: a list a server, with an entry a round."""
    clients = [AsyncClient(address, model=model) for address in addresses]
    rates: dict[str, list[list[float]]] = {name: [[] for _ in clients] for name in LOADS}
    for number in track(range(rounds + 1), "measuring", transient=True):
        for name, load in LOADS.items():
            for client, found in zip(clients, rates[name], strict=True):
                start_s = time.perf_counter()
                count = await load(client)
                if number:  # the first round warms up
                    found.append(count / (time.perf_counter() - start_s))
    for client in clients:
        await client.close()
    return rates


def show(rates: dict[str, list[list[float]]], model: str) -> None:
    table = Table(
        "load", "one lane, one row", "lanes and batches", "ratio", title=f"images/s, {model}, {os.cpu_count()} cores"
    )
    for name, (plain, batching) in rates.items():
        ratio = Spread.of_ratios(batching, plain)
        table.add_row(name, f"{Spread.of(plain):,.0f}", f"{Spread.of(batching):,.0f}", f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    run(main)
