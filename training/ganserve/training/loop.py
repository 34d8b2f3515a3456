"""The training loop. Every loss, network and device goes through it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .batches import Batches
from .config import TrainingConfig
from .ema import ema_decay, update_ema
from .losses import OBJECTIVES
from .penalties import clip_weights_, gradient_penalty
from .state import TrainingState


@dataclass(frozen=True)
class StepLosses:
    """What one step measured, as scalars still on the device, so that nobody waits for them."""

    critic: Tensor
    generator: Tensor
    real_logit: Tensor
    fake_logit: Tensor


def train(
    state: TrainingState,
    batches: Batches,
    config: TrainingConfig,
    *,
    after_step: Callable[[StepLosses], None],
    should_stop: Callable[[], bool],
) -> None:
    """Trains `state` in place until `config.steps` steps are done or `should_stop()`, asked between steps."""
    objective = OBJECTIVES[config.loss]
    batch_size = config.batch_size
    while state.step < config.steps and not should_stop():
        # Critic: learn to tell real images from generated ones of the same classes.
        for _ in range(config.num_critic_steps):
            real, labels = batches.at(state.images_seen, batch_size)
            with torch.no_grad():
                fake: Tensor = state.generator(state.draw_latents(batch_size), labels)
            real_logits, fake_logits = _score(state.critic, real, fake, labels, together=config.critic_norm == "none")
            critic_loss = objective.critic_loss(real_logits, fake_logits)
            penalised_loss = critic_loss
            if objective.penalty == "gradient":
                penalty = gradient_penalty(state.critic, real, fake, labels, state.rng)
                penalised_loss = critic_loss + config.gp_weight * penalty
            _descend(penalised_loss, state.critic_optimiser)
            if objective.penalty == "clip":
                clip_weights_(state.critic, config.clip_value)
            state.images_seen += batch_size

        # Generator: learn to be taken for real by the critic, which holds still.
        state.critic.requires_grad_(False)
        generator_loss = objective.generator_loss(
            state.critic(state.generator(state.draw_latents(batch_size), labels), labels)
        )
        _descend(generator_loss, state.generator_optimiser)
        state.critic.requires_grad_(True)

        # Average: let the generator that will be served follow slowly.
        decay = ema_decay(
            batch_size * config.num_critic_steps,
            state.images_seen,
            half_life_images=config.ema_half_life_images,
            rampup=config.ema_rampup,
        )
        update_ema(state.ema, state.generator, decay)

        # Bookkeeping: count, and let the caller report, draw samples and save when it is time.
        state.step += 1
        after_step(
            StepLosses(
                critic=critic_loss.detach(),
                generator=generator_loss.detach(),
                real_logit=real_logits.detach().mean(),
                fake_logit=fake_logits.detach().mean(),
            )
        )


def _descend(loss: Tensor, optimiser: Optimizer) -> None:
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    optimiser.step()


def _score(
    critic: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None, *, together: bool
) -> tuple[Tensor, Tensor]:
    """Logits of real and generated images; in one pass unless the critic's batch norm would mix the two."""
    if not together:
        return critic(real, labels), critic(fake, labels)
    both_labels = None if labels is None else labels.repeat(2)
    real_logits, fake_logits = critic(torch.cat([real, fake]), both_labels).chunk(2)
    return real_logits, fake_logits
