"""Training by two processes that torchrun starts, as a user would have it, on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ganserve.exporter import Target, export_run
from ganserve.training import checkpoint

from ..warm import WarmProcess, start_python

TIMEOUT_S = 120
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def start(*flags: str | Path) -> WarmProcess:
    """`torchrun -m ganserve.training` with two processes and `flags`."""
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    return start_python(*launcher, "-m", "ganserve.training", *flags, env=environment)


def end(launcher: WarmProcess) -> str:
    """Waits for the end of a launcher and its processes, and returns what all of them said."""
    try:
        output = "".join(launcher.communicate(timeout=TIMEOUT_S))
    except subprocess.TimeoutExpired:
        # It passes a SIGTERM on; a SIGKILL would leave its processes behind.
        launcher.terminate()
        output = "".join(launcher.communicate())
        raise AssertionError(f"torchrun did not end in time:\n{output}") from None
    return output


def test_two_processes_make_one_run_that_stops_goes_on_and_exports(tmp_path: Path) -> None:
    run = tmp_path / "run"
    last = run / "checkpoints" / "last.safetensors"
    settings = ("--preset", "mlp", "--data", "digits", "--base-width", "8", "--device", "cpu", "--evaluate-every", "0")
    with start(*settings, "--steps", "1000000", "--checkpoint-every", "20", "--out", run) as endless:
        deadline_s = time.monotonic() + TIMEOUT_S
        while not (last.exists() and checkpoint.load(last).step >= 20):
            assert endless.poll() is None, end(endless)
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
        endless.terminate()
        output = end(endless)
    assert "stopped by SIGTERM" in output
    assert output.count("trained  ") == 1
    assert "lost the others" not in output
    stopped = checkpoint.load(last)
    assert stopped.card.images_seen == stopped.step * stopped.config.batch_size

    with start("--resume", run, "--steps", str(stopped.step + 10)) as resumed:
        output = end(resumed)
        assert resumed.returncode == 0, output
    assert checkpoint.load(last).step == stopped.step + 10
    export_run(run, Target(models=tmp_path / "models", name="digits"))
    assert (tmp_path / "models" / "digits" / "1" / "model.onnx").is_file()


def test_a_batch_that_cannot_be_divided_is_refused(tmp_path: Path) -> None:
    with start("--preset", "mlp", "--data", "digits", "--batch-size", "7", "--out", tmp_path / "run") as refused:
        output = end(refused)
        assert refused.returncode not in (0, None)
    assert "--batch-size is 7, of all 2 processes together; give a multiple of 2" in output
    assert not (tmp_path / "run").exists()
