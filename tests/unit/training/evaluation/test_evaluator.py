from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganserve.contract.errors import ConfigError, DatasetError
from ganserve.training.datasets import ImageDataset
from ganserve.training.evaluation import Evaluator, FeatureExtractor, feature_extractor_for
from ganserve.training.evaluation.classifier_training import ClassifierSettings, hold_out
from ganserve.training.evaluation.evaluator import halves
from ganserve.training.evaluation.samples import draw_samples, labels_like
from ganserve.training.memory import images_per_batch
from ganserve.training.networks.shape import ImageShape
from ganserve.training.pixels import from_levels
from ganserve.training.scores import READINGS

from .conftest import LATENT_DIM, BarGenerator

CPU = torch.device("cpu")
MakeEvaluator = Callable[..., Evaluator]


@pytest.fixture
def make_evaluator(make_bars: Callable[..., ImageDataset], quick: ClassifierSettings) -> MakeEvaluator:
    def make(dataset: ImageDataset | None = None, **overrides: Any) -> Evaluator:
        # Bars whose classes fall into both halves alike; where they do not, that is most of the distance of so few.
        dataset = dataset or make_bars(seed=3)
        options: dict[str, Any] = {
            "latent_dim": LATENT_DIM,
            "conditional": True,
            "num_images": 90,
            "seed": 0,
            "device": CPU,
            **overrides,
        }
        return Evaluator(dataset, feature_extractor_for(dataset, device=CPU, settings=quick), **options)

    return make


def test_a_good_generator(make_evaluator: MakeEvaluator) -> None:
    scores = make_evaluator().scores(BarGenerator())
    assert scores.num_images == 90
    assert scores.gan_test is not None
    assert scores.gan_test > 0.9
    assert scores.class_kl == pytest.approx(0, abs=0.1)
    assert scores.gan_test_balanced == pytest.approx(scores.gan_test, abs=0.05)
    assert (scores.gan_test_largest, scores.gan_test_chance) == pytest.approx((1 / 3, 1 / 3))
    assert [each.name for each in scores.classes] == ["top", "middle", "below"]
    assert sum(each.share for each in scores.classes) == pytest.approx(1)
    for name, reading in READINGS.items():
        value = getattr(scores, name)
        assert value is None or reading.lowest <= value <= reading.highest, name
    assert scores.diversity == pytest.approx(1, abs=0.3)
    assert 0 < scores.fid_floor < scores.fid_domain
    assert scores.fid_inception is None


def test_wrong_classes_show_in_gan_test_alone(make_evaluator: MakeEvaluator) -> None:
    evaluator = make_evaluator(num_images=60)
    good, confused = evaluator.scores(BarGenerator()), evaluator.scores(BarGenerator(lambda labels: 2 - labels))
    assert good.gan_test is not None
    assert confused.gan_test is not None
    assert confused.gan_test < 0.5 < good.gan_test
    assert confused.class_kl == pytest.approx(good.class_kl, abs=0.05)
    assert confused.fid_domain == pytest.approx(good.fid_domain, rel=0.5)


def test_one_class_alone_shows_everywhere(make_evaluator: MakeEvaluator) -> None:
    evaluator = make_evaluator()
    good, collapsed = evaluator.scores(BarGenerator()), evaluator.scores(BarGenerator(torch.zeros_like, noise=0))
    assert collapsed.classes[0].share > 0.9
    assert collapsed.class_kl == pytest.approx(np.log(3), abs=0.2)
    assert collapsed.diversity < 0.1
    assert collapsed.recall < good.recall
    assert collapsed.fid_domain > 2 * good.fid_domain
    assert collapsed.kid > good.kid


def test_unconditional_generators_have_no_gan_test(make_evaluator: MakeEvaluator) -> None:
    scores = make_evaluator(conditional=False).scores(BarGenerator())
    assert (scores.gan_test, scores.gan_test_balanced, scores.gan_test_chance) == (None, None, None)
    assert scores.class_kl is not None
    assert scores.classes[0].share > 0.9
    assert scores.classes[0].gan_test is None


def test_data_without_classes(make_evaluator: MakeEvaluator, make_bars: Callable[..., ImageDataset]) -> None:
    scores = make_evaluator(make_bars(labelled=False), conditional=False).scores(BarGenerator())
    assert (scores.gan_test, scores.class_kl, scores.classes) == (None, None, ())
    assert not {"gan_test", "class_kl", "classes", "fid_inception"} & scores.to_dict().keys()


def test_scores_repeat_themselves_and_leave_global_randomness_alone(make_evaluator: MakeEvaluator) -> None:
    evaluator = make_evaluator()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = evaluator.scores(BarGenerator())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert evaluator.scores(BarGenerator()) == first
    assert make_evaluator().scores(BarGenerator()) == first
    assert make_evaluator(seed=1).scores(BarGenerator()) != first


def test_more_samples_than_half_of_the_images_are_taken_for_classes_alone(make_evaluator: MakeEvaluator) -> None:
    few, many = (make_evaluator(num_images=number).scores(BarGenerator()) for number in (60, 300))
    assert (few.num_images, many.num_images) == (60, 300)
    assert few.fid_floor == many.fid_floor


def test_both_halves_have_as_many_images_that_the_judge_has_not_seen() -> None:
    unseen, _ = hold_out(10_000, np.random.default_rng(ClassifierSettings(num_steps=1).seed))
    reference, other = halves(10_000, 10_000)
    assert not np.intersect1d(reference, other).size
    assert np.isin(unseen, reference).mean() == pytest.approx(0.5, abs=0.05)
    assert np.isin(unseen, other).mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("num_images", [4, 5, 12])
def test_the_smallest_data(
    make_evaluator: MakeEvaluator, make_bars: Callable[..., ImageDataset], num_images: int
) -> None:
    scores = make_evaluator(make_bars(num_images)).scores(BarGenerator())
    assert all(np.isfinite(value) for value in scores.metrics().values())


def test_what_cannot_be_measured_is_refused(
    make_evaluator: MakeEvaluator, make_bars: Callable[..., ImageDataset]
) -> None:
    with pytest.raises(ConfigError, match="--num-images 1: too few to measure"):
        make_evaluator(num_images=1)
    with pytest.raises(DatasetError, match="3 images are too few to judge by"):
        make_evaluator(make_bars(3))


def test_labels_are_as_frequent_as_in_the_data() -> None:
    labels = np.repeat(np.arange(3), [10, 60, 30])
    asked = labels_like(labels, 1_000, seed=0)
    assert np.bincount(asked).tolist() == [100, 600, 300]
    assert (asked[:100] != np.sort(asked[:100])).any()
    assert np.bincount(labels_like(np.arange(10), 25, seed=0)).tolist() == pytest.approx([2.5] * 10, abs=0.5)


def test_samples_are_pixels_at_their_addresses() -> None:
    def draw(num_images: int) -> Tensor:
        batches = draw_samples(
            BarGenerator(), num_images, labels=None, latent_dim=LATENT_DIM, seed=5, batch_size=250, device=CPU
        )
        return torch.cat(list(batches))

    many = draw(600)
    assert (many.shape, many.dtype) == ((600, 8, 8, 1), torch.uint8)
    assert torch.equal(draw(300), many[:300])


def test_large_images_go_through_in_smaller_batches(make_bars: Callable[..., ImageDataset]) -> None:
    assert [images_per_batch(side, side) for side in (8, 64, 256, 4_096)] == [250, 250, 16, 1]
    large = ImageDataset(np.kron(make_bars(40).images, np.ones((1, 64, 64, 1), np.uint8)), None, (), "large")
    sizes: list[int] = []

    class Blank(BarGenerator):
        def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
            assert labels is None
            sizes.append(len(z))
            return torch.rand(len(z), 1, 1, 1).expand(-1, 1, 512, 512)

    feature_extractor = FeatureExtractor(ImageShape(512, 512, 1), 4, knows_classes=False).eval()
    feature_extractor.register_forward_pre_hook(lambda _, images: sizes.append(len(images[0])))
    Evaluator(
        large, feature_extractor, latent_dim=LATENT_DIM, conditional=False, num_images=9, seed=0, device=CPU
    ).scores(Blank())
    assert max(sizes) == 4


@pytest.fixture
def uneven(make_bars: Callable[..., ImageDataset]) -> ImageDataset:
    """Bars of which three quarters are of one class, and one in twelve of another."""
    bars = make_bars(1_500, seed=3)
    assert bars.labels is not None
    rows = np.concatenate(
        [np.flatnonzero(bars.labels == label)[:number] for label, number in enumerate((450, 100, 50))]
    )
    rows = np.random.default_rng(0).permutation(rows)
    return ImageDataset(bars.images[rows], bars.labels[rows], bars.class_names, "uneven")


def test_a_generator_that_draws_the_largest_class_alone_is_found_out(
    make_evaluator: MakeEvaluator, uneven: ImageDataset
) -> None:
    scores = make_evaluator(uneven).scores(BarGenerator(torch.zeros_like))
    assert scores.gan_test == pytest.approx(0.75, abs=0.03), "which looks fine"
    assert scores.gan_test_largest == pytest.approx(0.75)
    assert scores.gan_test_balanced == pytest.approx(1 / 3, abs=0.03)
    assert scores.gan_test_chance == pytest.approx(1 / 3)
    assert [each.gan_test for each in scores.classes[1:]] == pytest.approx([0, 0], abs=0.05)
    assert [each.target_share for each in scores.classes] == pytest.approx(NATURAL)


class FreshBars(nn.Module):
    """A perfect generator: it draws images that nobody has seen, of the class asked for or as often as `shares`."""

    def __init__(self, fresh: ImageDataset, shares: Sequence[float]) -> None:
        super().__init__()
        assert fresh.labels is not None
        self.of_class = [from_levels(torch.from_numpy(fresh.images[fresh.labels == label])) for label in range(3)]
        self.shares = shares
        self.rng = np.random.default_rng(0)

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        drawn = self.rng.choice(3, size=len(z), p=self.shares) if labels is None else labels.numpy()
        return torch.stack([images[self.rng.integers(len(images))] for images in map(self.of_class.__getitem__, drawn)])


NATURAL, ALIKE = (3 / 4, 1 / 6, 1 / 12), (1 / 3, 1 / 3, 1 / 3)


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("conditional", [False, True])
def test_both_sides_of_a_distance_have_the_same_classes(
    make_evaluator: MakeEvaluator,
    make_bars: Callable[..., ImageDataset],
    uneven: ImageDataset,
    balanced: bool,
    conditional: bool,
) -> None:
    evaluator = make_evaluator(uneven, balanced=balanced, conditional=conditional, num_images=300)
    fresh = make_bars(900, seed=7)
    good = evaluator.scores(FreshBars(fresh, ALIKE if balanced else NATURAL))
    assert good.fid_domain < good.fid_floor + 4
    assert good.class_kl == pytest.approx(0, abs=0.02)
    collapsed = evaluator.scores(BarGenerator(torch.zeros_like))
    assert collapsed.fid_domain > 10 * good.fid_domain
    if not conditional:
        assert evaluator.scores(FreshBars(fresh, NATURAL if balanced else ALIKE)).fid_domain > 10 * good.fid_domain


def test_classes_that_count_alike_do_so_in_every_figure(make_evaluator: MakeEvaluator, uneven: ImageDataset) -> None:
    scores = make_evaluator(uneven, balanced=True).scores(BarGenerator(torch.zeros_like))
    assert scores.gan_test == pytest.approx(scores.gan_test_balanced)
    assert [each.target_share for each in scores.classes] == pytest.approx([1 / 3] * 3)
    assert scores.gan_test_largest == pytest.approx(scores.gan_test_chance)
    assert scores.recall < 0.5
