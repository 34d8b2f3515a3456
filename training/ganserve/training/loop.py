"""The training loop. Every loss, network and device goes through it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .augmentation import augment
from .batches import Batches
from .config import Norm, TrainingConfig
from .draws import Draws
from .ema import ema_decay, update_ema
from .optimisation import descend, lr_factor, set_lr
from .penalties import clip_weights_, gradient_penalty, squared_gradient_norm
from .ranks import ALONE, Ranks
from .state import TrainingState


@dataclass(frozen=True)
class StepLosses:
    """What one step measured, as scalars that stay on the device, so that no step waits for a host-device sync."""

    discriminator: Tensor
    generator: Tensor
    penalty: Tensor
    """What was added to the discriminator's loss; 0 in steps without."""
    real_logit: Tensor
    fake_logit: Tensor
    discriminator_accuracy: Tensor
    """Share of pairs of a real and a generated image in which the real one scores higher."""


def train(
    state: TrainingState,
    batches: Batches,
    config: TrainingConfig,
    *,
    after_step: Callable[[StepLosses], None],
    should_stop: Callable[[], bool],
    ranks: Ranks = ALONE,
) -> None:
    """Trains `state` in place to the end that `config` sets, or until `should_stop()`, asked between steps.

    With several `ranks`, each calls this at the same time and takes its own part of every batch. Their states stay
    equal, except for the statistics of batch norms. Raises ConfigError where a batch cannot be divided, and
    GanserveError where a rank is gone.
    """
    objective = config.objective
    generator, discriminator, draws = state.generator, state.discriminator, state.draws
    batch_size = ranks.share_of(config.batch_size)
    policy = config.augmentations
    autocast = torch.autocast(state.device.type, torch.bfloat16, enabled=config.precision == "bf16")
    began_s = time.monotonic() - state.trained_s
    while (share_done := state.share_done(config)) < 1 and not should_stop():
        # Rates: follow the schedule.
        factor = lr_factor(config.lr_schedule, share_done) * state.lr_scale
        set_lr(state.discriminator_optimiser, config.discriminator_lr * factor)
        set_lr(state.generator_optimiser, config.generator_lr * factor)

        # Discriminator: learn to tell real images from generated images of the same classes.
        for _ in range(config.num_discriminator_steps):
            real, labels = batches.at(state.images_seen, batch_size)
            with torch.no_grad(), autocast:
                fake: Tensor = generator(draws.normal(batch_size, config.latent_dim), labels)
            real, fake = augment(real, policy, draws), augment(fake.float(), policy, draws)
            with autocast:
                real_logits, fake_logits = _score(
                    discriminator, real, fake, labels, norm=config.resolved_discriminator_norm
                )
            discriminator_loss = objective.discriminator_loss(real_logits, fake_logits)
            penalty = _penalise(discriminator, real, fake, labels, draws, config, step=state.step)
            state.num_skipped += descend(
                discriminator_loss + penalty, state.discriminator_optimiser, max_norm=config.clip_grad_norm, ranks=ranks
            )
            if objective.clips_weights:
                clip_weights_(discriminator, config.clip_value)
            state.images_seen += config.batch_size

        # Generator: learn to pass for real with the discriminator, whose weights are frozen. The latents are new: those
        # of the discriminator's step would save a tenth of the time and need nearly twice the steps.
        discriminator.requires_grad_(False)
        with autocast:
            generated: Tensor = generator(draws.normal(batch_size, config.latent_dim), labels)
            opposing_logits = discriminator(real, labels).float() if objective.is_relativistic else real_logits.detach()
            generated_logits: Tensor = discriminator(augment(generated.float(), policy, draws), labels).float()
        generator_loss = objective.generator_loss(opposing_logits, generated_logits)
        state.num_skipped += descend(
            generator_loss, state.generator_optimiser, max_norm=config.clip_grad_norm, ranks=ranks
        )
        discriminator.requires_grad_(True)

        # Average: move the generator that will be served a little towards the trained one.
        decay = ema_decay(
            config.batch_size * config.num_discriminator_steps,
            state.images_seen,
            half_life_images=config.ema_half_life_images,
            rampup=config.ema_rampup,
        )
        update_ema(state.ema, generator, decay)

        # Bookkeeping: count, and let the caller report, evaluate, draw samples and save where that is due.
        state.step += 1
        if config.minutes is not None:
            (trained_ms,) = ranks.largest(round(1000 * (time.monotonic() - began_s)))
            state.trained_s = trained_ms / 1000
        after_step(
            StepLosses(
                discriminator=discriminator_loss.detach(),
                generator=generator_loss.detach(),
                penalty=penalty.detach(),
                real_logit=real_logits.detach().mean(),
                fake_logit=fake_logits.detach().mean(),
                discriminator_accuracy=(real_logits > fake_logits).float().mean(),
            )
        )


def _score(
    discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None, *, norm: Norm
) -> tuple[Tensor, Tensor]:
    """Logits of real and of generated images, in one pass unless a batch norm would mix their statistics."""
    if norm == "batch":
        return discriminator(real, labels).float(), discriminator(fake, labels).float()
    both_labels = None if labels is None else labels.repeat(2)
    real_logits, fake_logits = discriminator(torch.cat([real, fake]), both_labels).float().chunk(2)
    return real_logits, fake_logits


def _penalise(
    discriminator: nn.Module,
    real: Tensor,
    fake: Tensor,
    labels: Tensor | None,
    draws: Draws,
    config: TrainingConfig,
    *,
    step: int,
) -> Tensor:
    """The weighted gradient penalties of this step; 0 except in every `penalty_every`-th, where they weigh more for it.

    This is the lazy regularisation of Karras et al., StyleGAN2, 2020, section 3.1.
    """
    penalty = torch.zeros((), device=real.device)
    if step % config.penalty_every:
        return penalty
    if config.objective.has_gradient_penalty:
        penalty = penalty + config.gp_weight * gradient_penalty(
            discriminator, real, fake, labels, draws.uniform(len(real), 1, 1, 1)
        )
    r1_weight, r2_weight = config.penalty_weights
    if r1_weight:
        penalty = penalty + r1_weight / 2 * squared_gradient_norm(discriminator, real, labels)
    if r2_weight:
        penalty = penalty + r2_weight / 2 * squared_gradient_norm(discriminator, fake, labels)
    return penalty * config.penalty_every
