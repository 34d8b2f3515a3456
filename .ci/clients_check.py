"""Has clients of other makers ask a server, and runs what docs/protocols.md prints for them.

Each gets an environment of its own. Needs Node and npm; what this machine has not is named and left out.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path

from local_server import ganserve, run, serving

from ganserve.client import Client
from ganserve.contract.bundle import sha256

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = Path(__file__).parent / "clients"
DOCUMENT = ROOT / "docs" / "protocols.md"
PRINTED_ADDRESS = "127.0.0.1:50051"
BUF = Path(sys.executable).parent / "buf"

# The last wheels of tritonclient that bring perf_analyzer along, which is linked with two libraries that they lack.
PERF_ANALYZER = ("tritonclient==2.51.0", "nvidia-cuda-runtime-cu12")
PERF_LIBRARY = ("libb64-0d", "libb64.so.0d")
PERF_RUNS = (
    ("-m", "plain"),
    ("-m", "plain", "-b", "8", "--concurrency-range", "4", "--async"),
    ("-m", "digits", "--input-data", "zero", "-b", "4", "--async", "--streaming"),
)
BUF_REQUESTS = {
    "inference.GRPCInferenceService/ModelInfer": {"model_name": "digits", "parameters": {"seed": {"int64_param": 7}}},
    "ganserve.v1.GeneratorService/Generate": {
        "query": {"model": {"name": "digits"}, "address": {"seed": 7, "count": 1}},
    },
}
NODE_PACKAGES = ("@grpc/grpc-js", "@grpc/proto-loader", "grpc-js-reflection-client")


class LeftOutError(Exception):
    """A client that cannot run on this machine."""


def main() -> None:
    checks: dict[str, Callable[[str, Path], None]] = {
        "tritonclient": check_tritonclient,
        "KServe's client": check_kserve,
        "mlserver": check_mlserver,
        "perf_analyzer": check_perf_analyzer,
        "gRPC for Node": check_node,
        "buf curl": check_buf,
    }
    left_out = 0
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with serving(make_models(work), work) as address:
            for name, check in checks.items():
                own = work / name.split()[-1]
                own.mkdir()
                try:
                    check(address, own)
                except LeftOutError as error:
                    left_out += 1
                    print(f"{name}: left out, since {error}", flush=True)
                else:
                    print(f"{name}: works", flush=True)
    print(f"{len(checks) - left_out} clients of other makers work, {left_out} left out")


def check_tritonclient(address: str, work: Path) -> None:
    python = install(work, "tritonclient[grpc]", ROOT)
    check_images(address, python, SCRIPTS / "triton_client.py", address, num_times=4, cwd=work)
    check_one_process(python, "tritonclient", work)
    (work / "printed.py").write_text(
        printed("python", address) + "assert images.shape == (16, 8, 8, 1), images.shape\n"
    )
    run(python, "printed.py", cwd=work)


def check_kserve(address: str, work: Path) -> None:
    python = install(work, "kserve", ROOT)
    check_images(address, python, SCRIPTS / "kserve_client.py", address, num_times=1, cwd=work)
    check_one_process(python, "kserve", work)


def check_mlserver(address: str, work: Path) -> None:  # noqa: ARG001 - it brings no client
    check_one_process(install(work, "mlserver", ROOT), "mlserver", work)


def check_one_process(python: Path, package: str, work: Path) -> None:
    for first in ("ours", "theirs"):
        run(python, SCRIPTS / "one_process.py", package, first, cwd=work)


def check_perf_analyzer(address: str, work: Path) -> None:
    python = install(work, *PERF_ANALYZER)
    libraries = [find(work, "libcudart.so.12").parent, debian_library(*PERF_LIBRARY, work)]
    env = os.environ | {"LD_LIBRARY_PATH": ":".join(map(str, libraries))}
    flags = ("-u", address, "-i", "grpc", "--measurement-interval", "1000", "--stability-percentage", "1000")
    for words in PERF_RUNS:
        said = output(python.parent / "perf_analyzer", *flags, *words, cwd=work, env=env)
        counts = [int(count) for count in re.findall(r"(?:Request|Inference|Execution) count: (\d+)", said)]
        if len(counts) != 3 or not all(counts):
            sys.exit(f"perf_analyzer {' '.join(words)} measured nothing:\n{said}")


def check_node(address: str, work: Path) -> None:
    if not (shutil.which("node") and shutil.which("npm")):
        raise LeftOutError("there is no node and npm; apt-get install nodejs npm")
    run("npm", "install", "--silent", "--no-audit", "--no-fund", *NODE_PACKAGES, cwd=work)
    script = shutil.copy(SCRIPTS / "grpc_js.js", work)
    check_images(address, "node", script, address, num_times=3, cwd=work)
    (work / "printed.js").write_text(printed("js", address))
    if (told := output("node", "printed.js", cwd=work)) != f"{16 * 8 * 8}\n":
        sys.exit(f"what {DOCUMENT} prints for Node said {told}")


def check_buf(address: str, work: Path) -> None:
    curl = (BUF, "curl", "--http2-prior-knowledge", "--protocol", "grpc")
    listed = output(*curl, "--list-methods", f"http://{address}", cwd=work).split()
    images = set()
    for method, request in BUF_REQUESTS.items():
        reply = json.loads(output(*curl, "--data", json.dumps(request), f"http://{address}/{method}", cwd=work))
        images.add(reply["batch"]["pixels"] if "batch" in reply else reply["rawOutputContents"][0])
    if not set(BUF_REQUESTS) < set(listed) or len(images) != 1:
        sys.exit(f"buf curl listed {listed} and found {images}")


def check_images(address: str, *words: object, num_times: int, cwd: Path) -> None:
    """A script prints the digest of three samples of seed 7, for every way of asking that it knows."""
    with Client(address, model="digits") as client:
        expected = sha256(client.generate(3, seed=7).numpy().tobytes())
    told = output(*words, cwd=cwd).split()
    if told != [expected] * num_times:
        sys.exit(f"{words[1]} found {told}, and not {num_times} times {expected}")


def printed(language: str, address: str) -> str:
    """What the document prints in a language, for another address."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    return str(block).replace(PRINTED_ADDRESS, address)


def make_models(work: Path) -> Path:
    """A folder with the bundles `digits`, of ten classes, and `plain`, of none, after two steps each."""
    flags = ("--data", "digits", "--steps", "2", "--batch-size", "8", "--base-width", "8", "--evaluate-every", "0")
    for name, more in (("digits", ()), ("plain", ("--no-conditional",))):
        ganserve("train", "--out", name, *flags, *more, cwd=work)
        ganserve("export", name, "--onnx", "--models", "models", "--name", name, cwd=work)
    return work / "models"


def install(work: Path, *packages: object) -> Path:
    """A fresh environment with some packages; returns its Python."""
    venv.create(work / "venv", with_pip=True)
    run(work / "venv" / "bin" / "pip", "install", "--quiet", *packages, cwd=work)
    return work / "venv" / "bin" / "python"


def debian_library(package: str, name: str, work: Path) -> Path:
    """The folder of a library that a package of Debian has, without installing it."""
    apt_get = shutil.which("apt-get")
    if apt_get is None:
        raise LeftOutError(f"it needs {name}, and this is no Debian")
    downloaded = subprocess.run([apt_get, "download", "--quiet", package], cwd=work, check=False, capture_output=True)
    if downloaded.returncode:
        raise LeftOutError(f"it needs {name}, and apt-get does not find {package}")
    for archive in work.glob(f"{package}_*.deb"):
        run("dpkg", "--extract", archive, work / package, cwd=work)
    return find(work / package, name).parent


def find(folder: Path, name: str) -> Path:
    found = next(folder.rglob(name), None)
    if found is None:
        raise LeftOutError(f"there is no {name} in {folder}")
    return found


def output(*words: object, cwd: Path, env: dict[str, str] | None = None) -> str:
    """What a command prints; one that fails ends the check."""
    done = subprocess.run([str(word) for word in words], cwd=cwd, env=env, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
