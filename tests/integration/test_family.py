"""Every loss with every kind of network, conditional and not, is trained for two steps.

Half of the runs are exported, served and fetched: every loss once with every kind of network, in turns conditional.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from ganserve.client import Client
from ganserve.exporter import Target, export_run
from ganserve.training import TrainingConfig, training_from_config
from ganserve.training.config import Architecture, LossName

from ..servers import StartServer

NUM_SAMPLES = 20


@pytest.mark.parametrize("arch", get_args(Architecture))
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore:the same latents give the same image:ganserve.exporter.ExportWarning")
def test_a_family_goes_all_the_way_with_every_loss(
    arch: Architecture, tmp_path: Path, start_server: StartServer
) -> None:
    torch.set_num_threads(1)
    models = tmp_path / "models"
    names = []
    turn = get_args(Architecture).index(arch)
    for number, (loss, conditional) in enumerate(itertools.product(get_args(LossName), (True, False))):
        name = f"{loss}-{'conditional' if conditional else 'plain'}"
        config = TrainingConfig(
            data="digits",
            out=tmp_path / "runs" / name,
            arch=arch,
            loss=loss,
            conditional=conditional,
            steps=2,
            batch_size=8,
            base_width=4,
            latent_dim=8,
            n_critic=1,
            evaluate_every=0,
            device="cpu",
        )
        training_from_config(config)
        if (number // 2 + turn) % 2 == conditional:
            continue
        export_run(config.out, Target(models=models, name=name))
        names.append(name)
    with start_server(models) as server:
        for name in names:
            with Client(server.address, model=name) as client:
                samples = client.generate(NUM_SAMPLES, seed=3)
                assert samples.numpy().shape == (NUM_SAMPLES, 8, 8, 1), name
                assert (samples.labels is not None) == name.endswith("conditional")
                again = client.generate(5, seed=3, first_index=7)
                np.testing.assert_array_equal(again.numpy(), samples.numpy()[7:12])
