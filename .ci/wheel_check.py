"""Builds the wheel and goes the whole way with it, each step in an environment that has only its own extra.

ganserve[train] trains and judges → ganserve[export] exports → ganserve[serve] serves → ganserve, bare, fetches samples
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "onnx", "onnxruntime")
MAY_IMPORT = {
    "": (),
    "train": ("torch",),
    "export": HEAVY,
    "serve": ("onnx", "onnxruntime"),
    "http": ("onnx", "onnxruntime"),
}
MODULES = {
    "": "ganserve.client",
    "train": "ganserve.training, ganserve.client.torch",
    "export": "ganserve.exporter",
    "serve": "ganserve.serving.server",
    "http": "ganserve.serving.http.app, ganserve.serving.http.listener",
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", work, ROOT, cwd=work)
        (wheel,) = work.glob("*.whl")
        bins = {extra: install(wheel, extra, work) for extra in MODULES}
        for extra, bin_dir in bins.items():
            check_imports(extra, bin_dir, work)
        check_missing_extras(bins[""], work)
        check_missing_http(bins["serve"], work)
        check_the_whole_way(bins, work)
    print("the wheel works, an extra at a time")


def run(*words: object, cwd: Path) -> None:
    subprocess.run([str(word) for word in words], cwd=cwd, check=True)


def install(wheel: Path, extra: str, work: Path) -> Path:
    """A fresh environment with the wheel and one extra; returns its folder of commands."""
    folder = work / f"venv-{extra or 'base'}"
    print(f"installing ganserve[{extra}]" if extra else "installing ganserve", flush=True)
    venv.create(folder, with_pip=True)
    bin_dir = folder / "bin"
    target = f"{wheel}[{extra}]" if extra else str(wheel)
    run(bin_dir / "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", target, cwd=work)
    return bin_dir


def check_imports(extra: str, bin_dir: Path, work: Path) -> None:
    """The component imports, and brings nothing heavy beyond what it may."""
    forbidden = [name for name in HEAVY if name not in MAY_IMPORT[extra]]
    code = f"import sys, ganserve.cli, {MODULES[extra]}; sys.exit(bool(set({forbidden!r}) & set(sys.modules)))"
    run(bin_dir / "python", "-W", "error", "-c", code, cwd=work)
    run(bin_dir / "ganserve", "--version", cwd=work)


def check_missing_extras(bin_dir: Path, work: Path) -> None:
    """Without its extra, a command and its help name the cure in one line."""
    extras = {"train": "train", "export": "export", "import": "export", "inspect": "serve", "serve": "serve"}
    for command, extra in extras.items():
        for word in ("x", "--help"):
            words = [bin_dir / "ganserve", command, word]
            done = subprocess.run(words, cwd=work, capture_output=True, text=True, check=False)
            cure = f"pip install --constraint constraints.txt '.[{extra}]'"
            if done.returncode != 2 or not done.stderr.endswith(f"{cure}\n") or done.stderr.count("\n") != 1:
                sys.exit(f"ganserve {command} {word} without its extra said: {done.stderr}")


def check_missing_http(bin_dir: Path, work: Path) -> None:
    """So does a server that is asked for HTTP."""
    words = [bin_dir / "ganserve", "serve", "--http", "127.0.0.1:0"]
    done = subprocess.run(words, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode != 2 or "'.[http]'" not in done.stderr or done.stderr.count("\n") != 1:
        sys.exit(f"ganserve serve --http without its extra said: {done.stderr}")


def check_the_whole_way(bins: dict[str, Path], work: Path) -> None:
    run(bins["train"] / "ganserve", "train", "--data", "digits", "--out", "runs/digits", "--steps", "2", cwd=work)
    run(bins["train"] / "ganserve", "evaluate", "runs/digits", "--num-images", "100", cwd=work)
    run(bins["export"] / "ganserve", "export", "runs/digits", "--onnx", "--models", "models", cwd=work)
    run(bins["serve"] / "ganserve", "inspect", "models/digits/1", cwd=work)
    server = subprocess.Popen(
        [bins["serve"] / "ganserve", "serve", "--models", "models", "--listen", "127.0.0.1:0"],
        cwd=work,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        address = next(match[1] for line in server.stderr or () if (match := re.search(r"serving on (\S+)", line)))
        flags = ("--server", address, "--model", "digits", "-n", "16", "--seed", "7")
        run(bins[""] / "ganserve", "generate", *flags, "--out", "grid.png", cwd=work)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    if server.returncode:
        sys.exit(f"the server ended with {server.returncode}")


if __name__ == "__main__":
    main()
