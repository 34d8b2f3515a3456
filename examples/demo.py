"""The whole way on real data, as a person would go it: train → export → serve → fetch. `make demo` runs it."""

from __future__ import annotations

import os
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ganserve.client import Client

os.chdir(Path(__file__).resolve().parents[1])
DEMO = Path("demo")
RUN = DEMO / "runs" / "digits"
MODELS = DEMO / "models"
GRID = DEMO / "digits.png"
SERVER_ADDRESS = DEMO / "server.address"

NUM_STREAMED = 20_000
NUM_SINGLE = 200


def main() -> None:
    start_s = time.monotonic()
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir()

    say("1/4  Train a conditional GAN on 1,797 scanned handwritten digits, 8×8 pixels each")
    ganserve("train", "--preset", "digits", "--out", RUN)
    say("2/4  Export its generator to ONNX, and prove the file equal to it")
    ganserve("export", RUN, "--onnx", "--models", MODELS, "--name", "digits")
    say("3/4  Serve it over gRPC")
    with serving() as address:
        say("4/4  Fetch samples, ten of each digit")
        flags = ("-n", 100, "--seed", 7, "--labels", ",".join("0123456789"), "--columns", 10)
        ganserve("generate", "--server", address, "--model", "digits", *flags, "--out", GRID)
        say("Measured, with this machine doing both the serving and the asking")
        measure(address)
    say(f"Done in {time.monotonic() - start_s:.0f} s. Look at {GRID}: a column for each digit")
    print(
        f"Serve it again:     ganserve serve --models {MODELS}\n"
        "See what is served: ganserve models\n"
        "Other samples:      ganserve generate --model digits -n 64 --seed 8 --labels 3 --out threes.png\n"
        "Your own images:    ganserve train --data path/to/class-folders --out runs/mine\n"
        "(Commands are in .venv/bin; `source .venv/bin/activate` puts them on your path.)"
    )


def say(text: str) -> None:
    print(f"\n── {text}", flush=True)


def command(*words: object) -> list[str]:
    """The command line of a `ganserve` call, shown as it would be typed."""
    print("$ ganserve " + shlex.join(map(str, words)), flush=True)
    return [sys.executable, "-m", "ganserve.cli", *map(str, words)]


def ganserve(*words: object) -> None:
    done = subprocess.run(command(*words), check=False)
    if done.returncode:
        sys.exit(done.returncode)


@contextmanager
def serving() -> Iterator[str]:
    """Runs a server on a free port and gives its address, which the server writes down once it serves."""
    server = subprocess.Popen(
        command("serve", "--models", MODELS, "--listen", "127.0.0.1:0", "--ready-file", SERVER_ADDRESS)
    )
    try:
        while not SERVER_ADDRESS.exists():
            if server.poll() is not None:
                sys.exit(server.returncode)
            time.sleep(0.05)
        yield SERVER_ADDRESS.read_text().strip()
    finally:
        server.terminate()
        server.wait(60)


def measure(address: str) -> None:
    with Client(address, model="digits") as client:
        start_s = time.perf_counter()
        count = sum(len(samples) for samples in client.stream(NUM_STREAMED, seed=1))
        print(f"streaming      {count / (time.perf_counter() - start_s):,.0f} images/s")

        times_ms = []
        for index in range(NUM_SINGLE):
            start_s = time.perf_counter()
            client.generate(1, seed=1, first_index=index)
            times_ms.append((time.perf_counter() - start_s) * 1e3)
        print(f"one sample     {statistics.median(times_ms):.2f} ms (median of {NUM_SINGLE})")

        at_once = client.generate(64, seed=7).numpy()
        alone = [client.generate(1, seed=7, first_index=i).numpy()[0].tobytes() for i in range(64)]
        same = sum(image.tobytes() == other for image, other in zip(at_once, alone, strict=True))
        print(f"same bytes     {same} of 64 samples, asked for at once and one by one")


if __name__ == "__main__":
    main()
