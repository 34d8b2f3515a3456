"""Processes that train together, in real processes over the loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ganserve.contract.errors import ConfigError, DivergenceError
from ganserve.training import checkpoint, resume_training
from ganserve.training.device import choose_device
from ganserve.training.ranks import ALONE, Ranks

from ...warm import start_python

SCRIPT = Path(__file__).with_name("rank_process.py")
TIMEOUT_S = 120


def run_ranks(case: str, folder: Path, *, num_ranks: int) -> list[int]:
    """Runs `rank_process.py` in so many processes, and returns their exit codes."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(num_ranks)}
    with ExitStack() as ends:
        processes = []
        for rank in range(num_ranks):
            env = {**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "GLOO_SOCKET_IFNAME": "lo", **meeting}
            processes.append(ends.enter_context(start_python(SCRIPT, case, folder, env=env)))
        return [process.wait(TIMEOUT_S) for process in processes]


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one and two processes have computed. The second of two ends on the spot, without a word."""
    folder = tmp_path_factory.mktemp("computed")
    assert run_ranks("compute", folder, num_ranks=1) == [0]
    assert run_ranks("compute", folder, num_ranks=2) == [0, 9]
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two processes; the last of them, `hopeless`, diverges, which both must notice."""
    folder = tmp_path_factory.mktemp("runs")
    assert run_ranks("run", folder, num_ranks=2) == [DivergenceError.exit_code] * 2
    return folder


@pytest.mark.parametrize("name", ["rpgan", "wgan-gp"])
def test_two_ranks_with_half_of_a_batch_each_step_as_one_with_all_of_it(computed: Path, name: str) -> None:
    whole = load_file(computed / f"{name}-0-of-1.safetensors")
    parts = [load_file(computed / f"{name}-{rank}-of-2.safetensors") for rank in range(2)]
    assert any(key.startswith("discriminator.") for key in whole)
    assert any(key.startswith("generator.") for key in whole)
    for key, expected in whole.items():
        assert torch.equal(parts[0][key], parts[1][key]), key
        torch.testing.assert_close(parts[0][key], expected, rtol=1e-4, atol=1e-6)


def test_one_rank_s_trouble_is_everyone_s(computed: Path) -> None:
    found = json.loads((computed / "found-0.json").read_text())
    assert found["skipped"] == 1
    assert found["stops"] == [False, True]
    assert found["signal"] == signal.SIGTERM


def test_a_rank_that_is_gone_is_noticed_at_once(computed: Path) -> None:
    found = json.loads((computed / "found-0.json").read_text())
    assert "rank 0 has lost the others" in found["lost"]


def test_a_resume_with_as_many_ranks_is_exact(runs: Path) -> None:
    whole, parts = (checkpoint.load(runs / name / "checkpoints" / "last.safetensors") for name in ("whole", "parts"))
    assert whole.step == parts.step == 6
    assert whole.tensors.keys() == parts.tensors.keys()
    for key, tensor in whole.tensors.items():
        assert torch.equal(tensor, parts.tensors[key]), key


def test_one_rank_writes_for_all(runs: Path) -> None:
    lines = [json.loads(line) for line in (runs / "whole" / "stats.jsonl").read_text().splitlines()]
    assert [(line["step"], line["images_seen"]) for line in lines] == [(2, 16), (3, 24), (4, 32), (6, 48)]
    assert len(list((runs / "whole" / "tensorboard").iterdir())) == 1


def test_a_resume_with_another_number_of_ranks_goes_on(runs: Path) -> None:
    summary = resume_training(runs / "parts", steps=8)
    assert (summary.steps, summary.images_seen) == (8, 64)


def test_all_ranks_roll_back_together(runs: Path) -> None:
    saved = checkpoint.load(runs / "hopeless" / "checkpoints" / "last.safetensors").progress
    assert (saved.num_rollbacks, saved.lr_scale) == (3, 1 / 8)


def test_ranks_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert Ranks.from_environment() == ALONE
    monkeypatch.setenv("RANK", "5")
    with pytest.raises(ConfigError, match="start with torchrun"):
        Ranks.from_environment()
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_RANK", "1")
    ranks = Ranks.from_environment()
    assert (ranks, ranks.is_first) == (Ranks(5, 8, 1), False)
    monkeypatch.setenv("WORLD_SIZE", "5")
    with pytest.raises(ConfigError, match="RANK 5 of WORLD_SIZE 5 cannot be"):
        Ranks.from_environment()


def test_a_batch_is_divided_evenly_or_refused() -> None:
    assert ALONE.share_of(3) == 3
    assert Ranks(0, 4).share_of(8) == 2
    for batch_size in (4, 10):
        with pytest.raises(ConfigError, match=f"--batch-size is {batch_size}.*multiple of 4, and at least 8"):
            Ranks(0, 4).share_of(batch_size)


def test_a_single_process_is_left_alone() -> None:
    numbers = torch.tensor([1.0, float("nan")])
    with ALONE.joined(torch.device("cpu")), ALONE.one_of_each_machine_first():
        ALONE.average_([numbers])
        assert ALONE.largest(2, 0) == (2, 0)
    assert not torch.distributed.is_initialized()
    assert choose_device("cpu", Ranks(1, 2, 1)) == torch.device("cpu")


def test_each_rank_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto", Ranks(3, 4, 1)) == torch.device("cuda:1")
    assert choose_device("cuda") == torch.device("cuda")
    with pytest.raises(ConfigError, match="has 2; give torchrun --nproc-per-node 2"):
        choose_device("cuda", Ranks(2, 4, 2))


def test_ranks_that_cannot_meet_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with (
        pytest.raises(ConfigError, match=r"rank 1 cannot meet the others .*MASTER_ADDR"),
        Ranks(1, 2).joined(torch.device("cpu")),
    ):
        pass
