"""Synthetic samples mixed into a real data set."""

from __future__ import annotations

import warnings
from collections import Counter
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import albumentations
import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset
from torchdata.stateful_dataloader import StatefulDataLoader

from ganserve.client import ConfigError, DatasetError, InvalidRequestError, LocalGenerator
from ganserve.client.quotas import Quota
from ganserve.client.torch import MixedDataset, SyntheticDataset, SyntheticStream, UnevenShareWarning, mix

from .conftest import CLASSES, Labelled, number, pixels


class Scaled(nn.Module):
    """A transform of tensors, as torchvision's second version has them."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.float() / 255


def shown(mixed: MixedDataset) -> Counter[int]:
    """How often each real image is in an epoch."""
    items = mixed.__getitems__(range(len(mixed)))
    return Counter(number(item[0]) for place, item in enumerate(items) if not mixed.is_synthetic(place))


@pytest.mark.parametrize(
    ("arguments", "real_counts", "synthetic"),
    [
        ({}, [30, 12, 5], [8, 3, 1]),
        ({"ratio": 1}, [30, 12, 5], [30, 12, 5]),
        ({"balance": True}, [30, 30, 30], [8, 8, 8]),
        ({"balance": True, "ratio": 0.5}, [30, 30, 30], [15, 15, 15]),
        ({"ratio": 0}, [30, 12, 5], [0, 0, 0]),
    ],
)
def test_the_share_is_the_same_in_every_class(
    real: Labelled, source: Any, arguments: dict[str, Any], real_counts: list[int], synthetic: list[int]
) -> None:
    mixed = mix(real, source, seed=7, **arguments)
    items = mixed.__getitems__(range(len(mixed)))
    kinds = Counter((label, mixed.is_synthetic(place)) for place, (_, label) in enumerate(items))
    for label in range(3):
        assert (kinds[label, False], kinds[label, True]) == (real_counts[label], synthetic[label])
        assert mixed.quotas[CLASSES[label]] == Quota(real=real_counts[label], synthetic=synthetic[label])
    assert mixed.targets == [label for _, label in items]


def test_real_images_come_first_and_in_their_order(real: Labelled, source: Any) -> None:
    mixed = mix(real, source, seed=7, balance=True)
    for place in (0, 13, 46):
        image, label = mixed[place]
        assert torch.equal(image, real[place][0])
        assert label == real[place][1]
    assert source.indices == []


def test_each_real_image_is_shown_as_often_as_the_others_in_every_epoch_and_over_all(
    real: Labelled, source: Any
) -> None:
    mixed = mix(real, source, seed=7, balance=True)
    total: Counter[int] = Counter()
    extras = []
    for epoch in range(5):
        mixed.set_epoch(epoch)
        times = shown(mixed)
        total += times
        extras.append({place for place in range(30, 42) if times[place] == 3})
        for members in (range(30), range(30, 42), range(42, 47)):
            assert max(times[i] for i in members) - min(times[i] for i in members) <= 1
            assert max(total[i] for i in members) - min(total[i] for i in members) <= 1
    assert extras[0] != extras[1]
    assert len(extras[0]) == 6


def test_synthetic_images_are_of_their_class_and_new_in_every_epoch(real: Labelled, source: Any) -> None:
    mixed = mix(real, source, seed=7, balance=True, truncation=0.8, spread=1.25)
    seen: list[int] = []
    for epoch in (0, 1, 2, 0):
        mixed.set_epoch(epoch)
        places = [place for place in range(len(mixed)) if mixed.is_synthetic(place)]
        source.indices.clear()
        items = mixed.__getitems__(places)
        (indices,) = source.indices
        expected = source.generate(indices=indices, seed=7, labels=[0, 1, 2], truncation=0.8, spread=1.25)
        assert torch.equal(torch.stack([image for image, _ in items]), expected.torch())
        assert [label for _, label in items] == expected.labels.tolist() == [0] * 8 + [1] * 8 + [2] * 8
        seen += indices
    assert len(set(seen)) == 3 * 24
    assert seen[-24:] == seen[:24]


def test_more_synthetic_images_keep_those_that_were_there(real: Labelled, source: Any) -> None:
    few, many = (mix(real, source, seed=7, ratio=ratio) for ratio in (0.5, 1.0))
    for mixed in (few, many):
        mixed.set_epoch(3)
    first = few.quotas["cat"].real + few.quotas["dog"].real + few.quotas["emu"].real
    assert torch.equal(few[first + 4][0], many[first + 4][0])


def test_a_batch_is_one_request_and_none_where_it_is_all_real(real: Labelled, source: Any) -> None:
    mixed = mix(real, source, seed=7, balance=True, flag=True)
    batch = mixed.__getitems__([0, 95, 3, -1, 60])
    assert [flag for _, _, flag in batch] == [False, True, False, True, False]
    assert [len(indices) for indices in source.indices] == [2]
    mixed.__getitems__([1, 2])
    assert len(source.indices) == 1


@pytest.mark.parametrize("persistent", [False, True])
def test_a_shuffled_loader_with_workers(real: Labelled, bundle: Path, persistent: bool) -> None:
    with LocalGenerator(bundle) as source:
        mixed = mix(real, source, seed=7, balance=True, flag=True, transform=Scaled())
        loader = DataLoader(mixed, batch_size=16, shuffle=True, num_workers=2, persistent_workers=persistent)
        sums = []
        for epoch in range(2):
            mixed.set_epoch(epoch)
            images, labels, flags = (torch.cat(column) for column in zip(*loader, strict=True))
            assert images.dtype == torch.float32
            assert labels.bincount().tolist() == [38, 38, 38]
            assert labels[flags].bincount().tolist() == [8, 8, 8]
            sums.append(images[flags].sum().item())
        assert sums[0] != sums[1]
        del loader


def test_counts_and_topping_up_are_done_and_warned_of(real: Labelled, source: Any) -> None:
    reason = "0% of 'cat' will be synthetic, and 83% of 'emu': a classifier may learn .* balance=True"
    with pytest.warns(UnevenShareWarning, match=reason):
        mixed = mix(real, source, seed=7, top_up=True)
    assert [quota.real + quota.synthetic for quota in mixed.quotas.values()] == [30, 30, 30]
    with pytest.warns(UnevenShareWarning, match="83% of 'emu'"):
        mixed = mix(real, source, seed=7, counts={"emu": 25, 1: 3})
    assert [quota.synthetic for quota in mixed.quotas.values()] == [0, 3, 25]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mix(real, source, seed=7, counts={"cat": 30, "dog": 12, "emu": 5})


@pytest.mark.parametrize("ratio", [[0.0, 0.5, 1.0], lambda epoch: min(1.0, epoch / 2)])
def test_a_ratio_that_changes_with_the_epoch(real: Labelled, source: Any, ratio: Any) -> None:
    mixed = mix(real, source, seed=7, ratio=ratio)
    lengths = []
    for epoch in (0, 1, 2, 9):
        mixed.set_epoch(epoch)
        lengths.append(len(mixed))
        assert len(mixed.targets) == len(mixed)
    assert lengths == [47, 47 + 15 + 6 + 2, 94, 94]


def test_a_loader_follows_a_length_that_changes(real: Labelled, source: Any) -> None:
    mixed = mix(real, source, seed=7, ratio=[0, 1])
    loader = DataLoader(mixed, batch_size=10, shuffle=True)
    assert sum(len(labels) for _, labels in loader) == 47
    mixed.set_epoch(1)
    assert sum(len(labels) for _, labels in loader) == 94


def test_a_stateful_loader_goes_on_exactly(real: Labelled, bundle: Path) -> None:
    def begin() -> tuple[MixedDataset, Any]:
        mixed = mix(real, source, seed=7, balance=True)
        generator = torch.Generator().manual_seed(1)
        return mixed, StatefulDataLoader(mixed, batch_size=16, shuffle=True, num_workers=2, generator=generator)

    with LocalGenerator(bundle) as source:
        mixed, loader = begin()
        mixed.set_epoch(4)
        batches = iter(loader)
        next(batches)
        saved = loader.state_dict()
        rest = torch.cat([images for images, _ in batches])
        _, loader = begin()
        loader.load_state_dict(saved)
        assert torch.equal(torch.cat([images for images, _ in loader]), rest)
        smaller = mix(Subset(real, range(5, 47)), source, seed=7, balance=True)
        with pytest.raises(ConfigError, match="saved with another real_counts"):
            smaller.load_state_dict(mixed.state_dict())


@pytest.mark.parametrize(
    ("before", "after", "differs"),
    [
        ({"ratio": 0.5}, {"ratio": 0.25}, r"ratio \(0.5\)"),
        ({}, {"ratio": 0.5}, r"ratio \(0.25\)"),
        ({"ratio": [1, 0.5]}, {"ratio": [1, 0.25]}, r"ratio \(\[1, 0.5\]\)"),
        ({"ratio": lambda epoch: epoch / 4}, {"ratio": lambda epoch: epoch / 2}, r"ratio \(0.5\)"),
        ({}, {"balance": True}, r"balance \(False\)"),
        ({"counts": {"cat": 30, "dog": 12, "emu": 5}}, {"ratio": 1}, "ratio"),
        ({}, {"top_up": True}, "ratio"),
        ({"classes": ["dog", "cat", "emu"]}, {}, "classes"),
    ],
)
@pytest.mark.filterwarnings("ignore::ganserve.client.torch.UnevenShareWarning")
def test_a_state_of_other_quotas_is_refused(
    real: Labelled, source: Any, before: dict[str, Any], after: dict[str, Any], differs: str
) -> None:
    mixed = mix(real, source, seed=7, **before)
    mixed.set_epoch(2)
    saved = mixed.state_dict()
    with pytest.raises(ConfigError, match=f"saved with another {differs}"):
        mix(real, source, seed=7, **after).load_state_dict(saved)
    again = mix(real, source, seed=7, **before)
    again.load_state_dict(saved)
    assert again.epoch == 2


def test_a_state_of_real_images_in_another_order_is_refused(real: Labelled, source: Any) -> None:
    saved = mix(real, source, seed=7).state_dict()
    with pytest.raises(ConfigError, match="saved with another real_labels"):
        mix(Subset(real, range(46, -1, -1)), source, seed=7).load_state_dict(saved)


def test_it_can_be_sent_to_another_process(real: Labelled, bundle: Path) -> None:
    with LocalGenerator(bundle) as source:
        mixed = mix(real, source, seed=7, balance=True)
        mixed.set_epoch(3)
        other = ForkingPickler.loads(ForkingPickler.dumps(mixed))
        assert all(torch.equal(other[place][0], mixed[place][0]) for place in (0, 60, 100))
        other.recipe.source.close()


# What real data sets may be


class Unlabelled(Dataset[Any]):
    """Of items alone: no list of labels."""

    def __init__(self, of: Labelled) -> None:
        self.of = of
        self.num_read = 0

    def __len__(self) -> int:
        return len(self.of)

    def __getitem__(self, place: int) -> Any:
        self.num_read += 1
        return self.of[place]


def test_labels_are_found_without_reading_images(real: Labelled, source: Any) -> None:
    mix(real, source, seed=7)
    mix(Subset(real, range(40)), source, seed=7)
    mix(ConcatDataset([real, Subset(real, [0, 31])]), source, seed=7)
    assert real.num_read <= 9


def test_labels_of_a_subset_and_of_a_concatenation(real: Labelled, source: Any) -> None:
    mixed = mix(Subset(real, [31, 3, 45]), source, seed=7, ratio=1)
    assert mixed.targets[:3] == [1, 0, 2]
    mixed = mix(ConcatDataset([Subset(real, [31]), real]), source, seed=7, ratio=1)
    assert mixed.targets[:2] == [1, 0]
    assert mixed.classes == CLASSES


def test_labels_are_read_once_where_nothing_tells_them(real: Labelled, source: Any) -> None:
    plain = Unlabelled(real)
    mixed = mix(plain, source, seed=7, classes=CLASSES)
    assert mixed.targets[:47] == real.targets
    assert plain.num_read <= 47 + 3


def test_a_target_transform_is_followed(real: Labelled, source: Any) -> None:
    real.target_transform = lambda label: label  # type: ignore[attr-defined]
    assert mix(real, source, seed=7).targets[:47] == real.targets
    real.target_transform = lambda label: 2 - label  # type: ignore[attr-defined]
    with pytest.raises(DatasetError, match="real item 0 has label 0, and the data set's list of labels says 2"):
        mix(real, source, seed=7)


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
def test_lists_of_labels_of_any_kind(source: Any, kind: Any) -> None:
    data = Labelled(torch.zeros(3, 3, 6, 5, dtype=torch.uint8), kind([0, 2, 1]), CLASSES)
    mixed = mix(data, source, seed=7, ratio=1)
    assert mixed.targets == [0, 2, 1, 0, 1, 2]
    assert all(type(label) is int for _, label in mixed)


def test_a_folder_of_class_folders(source: Any, tmp_path: Path) -> None:
    for name, count in {"emu": 2, "cat": 3}.items():
        (tmp_path / name / "deeper").mkdir(parents=True)
        for place, image in enumerate(pixels(count)):
            Image.fromarray(image).save(tmp_path / name / "deeper" / f"{place}.png")
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    for folder in (tmp_path, str(tmp_path)):
        mixed = mix(folder, source, seed=7, ratio=1)
        assert mixed.quotas == {"cat": Quota(real=3, synthetic=3), "emu": Quota(real=2, synthetic=2)}
        assert (mixed[1][0].permute(1, 2, 0).numpy() == pixels(3)[1]).all()
    (tmp_path / "cat" / "torn.png").write_bytes(b"no image either")
    with pytest.raises(DatasetError, match=r"cat/torn.png is not a readable image"):
        list(mix(tmp_path, source, seed=7, ratio=1))
    with pytest.raises(DatasetError, match=r"has no folders with PNG, JPEG or WebP files"):
        mix(tmp_path / "cat" / "deeper", source, seed=7)
    with pytest.raises(DatasetError, match="is not a folder; give one with a folder of images for each class"):
        mix(tmp_path / "nowhere", source, seed=7)


def pictures() -> datasets.Dataset:
    """Of Hugging Face: 4 cats and 2 emus."""
    images = [Image.fromarray(image) for image in pixels(6)]
    features = datasets.Features(picture=datasets.Image(), species=datasets.ClassLabel(names=CLASSES))
    return datasets.Dataset.from_dict({"picture": images, "species": [0, 0, 2, 0, 0, 2]}, features=features)


def test_a_data_set_of_hugging_face(source: Any) -> None:
    keys: Any = {"image_key": "picture", "label_key": "species"}
    with pytest.warns(UnevenShareWarning, match="there is no real image of 'dog', so that all of it will be synthetic"):
        mixed = mix(pictures(), source, seed=7, balance=True, ratio=1, flag=True, **keys)
    assert mixed.quotas == {
        "cat": Quota(real=4, synthetic=4),
        "dog": Quota(real=0, synthetic=8),
        "emu": Quota(real=4, synthetic=4),
    }
    first, last = mixed.__getitems__([2, -1])
    assert (first["species"], first["synthetic"], last["species"], last["synthetic"]) == (2, False, 2, True)
    assert (first["picture"].permute(1, 2, 0).numpy() == pixels(6)[2]).all()
    with pytest.raises(DatasetError, match="has no 'image', but 'picture', 'species'; name them by image_key"):
        mix(pictures(), source, seed=7)


def scale(batch: dict[str, Any]) -> dict[str, Any]:
    return {
        "pixel_values": [torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255 for image in batch["picture"]],
        "species": batch["species"],
    }


def test_a_data_set_of_hugging_face_with_a_transform_of_its_own(source: Any) -> None:
    real = pictures().with_transform(scale)
    mixed = mix(
        real,
        source,
        seed=7,
        ratio=1,
        image_key="pixel_values",
        label_key="species",
        synthetic_transform=Scaled(),
    )
    batch = next(iter(DataLoader(mixed, batch_size=12)))
    assert batch["pixel_values"].shape == (12, 3, 6, 5)
    assert batch["pixel_values"].dtype == torch.float32
    assert batch["species"].tolist() == [0, 0, 2, 0, 0, 2, 0, 0, 0, 0, 2, 2]


def test_real_floats_need_a_transform_for_synthetic_images(source: Any) -> None:
    real = TensorDataset(torch.rand(4, 3, 6, 5), torch.tensor([0, 1, 2, 0]))
    with pytest.raises(DatasetError, match=r"a tensor of float32, .* not uint8 pixels; .* synthetic_transform"):
        mix(real, source, seed=7, classes=CLASSES)
    mixed = mix(real, source, seed=7, ratio=1, classes=CLASSES, synthetic_transform=Scaled())
    images, _ = next(iter(DataLoader(mixed, batch_size=8)))
    assert images.dtype == torch.float32
    with pytest.raises(DatasetError, match=r"real images are .*float32.*, and synthetic ones, .*uint8"):
        mix(real, source, seed=7, ratio=1, classes=CLASSES, synthetic_transform=torch.clone)


@pytest.mark.parametrize("images", ["tensor", "pil", "numpy"])
@pytest.mark.parametrize("given", ["tensor", "pil", "numpy"])
def test_real_and_synthetic_images_have_one_form(source: Any, images: Any, given: str) -> None:
    arrays = pixels(3)
    real_images: Any = {
        "tensor": torch.from_numpy(arrays.transpose(0, 3, 1, 2)),
        "pil": [Image.fromarray(image) for image in arrays],
        "numpy": arrays,
    }[given]
    mixed = mix(Labelled(real_images, [0, 1, 2], CLASSES), source, seed=7, ratio=1, images=images)
    first, last = mixed[0][0], mixed[-1][0]
    assert type(first) is type(last)
    as_array = first.permute(1, 2, 0) if images == "tensor" else first
    assert (np.asarray(as_array) == arrays[0]).all()


def test_a_transform_of_albumentations_is_for_all(real: Labelled, source: Any) -> None:
    flip = albumentations.HorizontalFlip(p=1)
    mixed, plain = (mix(real, source, seed=7, transform=transform) for transform in (flip, None))
    for place in (3, len(mixed) - 1):
        assert (mixed[place][0] == plain[place][0].flip(-1).permute(1, 2, 0).numpy()).all()


def test_grey_and_palette_pictures(source: Any) -> None:
    grey, palette = Image.new("L", (5, 6), 7), Image.new("RGB", (5, 6), "red").convert("P")
    with pytest.raises(DatasetError, match="real image 0 has 1 channels, and the generator makes images of 3; give ch"):
        mix(Labelled([grey], [0], CLASSES), source, seed=7)
    mixed = mix(Labelled([grey, palette], [0, 0], CLASSES), source, seed=7, ratio=1, channels=3)
    assert {image.shape for image, _ in mixed} == {(3, 6, 5)}
    assert mixed[1][0][:, 0, 0].tolist() == [255, 0, 0]
    mixed = mix(Labelled([grey, palette], [0, 0], CLASSES), source, seed=7, ratio=1, channels=1)
    assert {image.shape for image, _ in mixed} == {(1, 6, 5)}
    with pytest.raises(DatasetError, match="more than 8 bits a channel"):
        mix(Labelled([Image.new("I;16", (5, 6))], [0], CLASSES), source, seed=7)


def test_images_of_another_size(source: Any) -> None:
    large = Labelled(torch.zeros(3, 3, 12, 10, dtype=torch.uint8), [0, 1, 2], CLASSES)
    with pytest.raises(
        DatasetError, match=r"real image 0 is 12×10, and the generator makes 6×5; give a size .*=\(6, 5"
    ):
        mix(large, source, seed=7)
    sizes: Any = {(12, 10): (3, 12, 10), 8: (3, 8, 8)}
    for resize, shape in sizes.items():
        mixed = mix(large, source, seed=7, ratio=1, resize=resize)
        assert {image.shape for image, _ in mixed} == {shape}
    crop = albumentations.RandomCrop(6, 5)
    mixed = mix(large, source, seed=7, ratio=1, resize="transform", transform=crop)
    assert {image.shape for image, _ in mixed} == {(6, 5, 3)}
    impossible: Any = ("fit", (0, 3), (1, 2, 3))
    for resize in impossible:
        with pytest.raises((ConfigError, InvalidRequestError), match="resize"):
            mix(large, source, seed=7, resize=resize)


def test_a_later_image_of_another_size_is_named(source: Any) -> None:
    images = [Image.new("RGB", (5, 6)), Image.new("RGB", (9, 6))]
    mixed = mix(Labelled(images, [0, 1], CLASSES), source, seed=7)
    with pytest.raises(DatasetError, match="real image 1 is 6×9"):
        mixed[1]


# Classes


def test_classes_are_matched_by_name(source: Any) -> None:
    """Whatever the order of either, and of those of the generator that are not asked for there are none."""
    real = Labelled(torch.zeros(6, 3, 6, 5, dtype=torch.uint8), [0, 0, 0, 1, 1, 1], ["emu", "cat"])
    mixed = mix(real, source, seed=7, ratio=1)
    assert mixed.classes == ["emu", "cat"]
    assert mixed.targets == [0] * 3 + [1] * 3 + [0] * 3 + [1] * 3
    expected = source.generate(indices=[2, 5, 8, 0, 3, 6], seed=7, labels=[0, 1, 2])
    assert torch.equal(torch.stack([image for image, _ in mixed][6:]), expected.torch())
    assert expected.class_names.tolist() == ["emu"] * 3 + ["cat"] * 3


def test_classes_that_are_called_otherwise(source: Any, nameless: TensorDataset) -> None:
    real = Labelled(torch.zeros(2, 3, 6, 5, dtype=torch.uint8), [0, 1], ["Katze", "emu"])
    with pytest.raises(ConfigError, match=r"the generator has no class 'Katze'; its classes are 'cat', .* classes="):
        mix(real, source, seed=7)
    assert mix(real, source, seed=7, classes={"Katze": "cat"}).classes == ["Katze", "emu"]
    assert mix(real, source, seed=7, classes=["cat", "emu"]).classes == ["Katze", "emu"]
    with pytest.raises(ConfigError, match="classes names 'Hund', and the real classes are 'Katze', 'emu'"):
        mix(real, source, seed=7, classes={"Hund": "dog"})
    with pytest.raises(ConfigError, match="classes names 'cow', and the generator's classes are"):
        mix(real, source, seed=7, classes={"Katze": "cow"})
    with pytest.raises(ConfigError, match=r"tells no names of its 3 classes, .*; give classes="):
        mix(nameless, source, seed=7)
    with pytest.raises(ConfigError, match="names of 2 classes, and the real labels go up to 2"):
        mix(nameless, source, seed=7, classes=["cat", "dog"])
    assert mix(nameless, source, seed=7, classes=CLASSES).classes == CLASSES


def test_a_class_that_the_generator_lacks_may_be_left_without_samples(source: Any) -> None:
    real = Labelled(torch.zeros(3, 3, 6, 5, dtype=torch.uint8), [0, 1, 1], ["yak", "emu"])
    with pytest.warns(UnevenShareWarning):
        mixed = mix(real, source, seed=7, counts={"emu": 4})
    assert mixed.quotas["yak"] == Quota(real=1, synthetic=0)
    with pytest.raises(ConfigError, match="the generator has no class 'yak'"):
        mix(real, source, seed=7, counts={"yak": 1})


# Sources and arguments


@pytest.mark.parametrize("kind", [SyntheticDataset, SyntheticStream])
def test_a_synthetic_data_set_is_no_source(real: Labelled, source: Any, kind: Any) -> None:
    """Its length, labels and indices would not be used."""
    says = rf"a {kind.__name__} has a length, labels and indices .*, as in mix\(real, client, seed=9, ratio=0.25\)"
    with pytest.raises(ConfigError, match=says):
        mix(real, kind(source, 5, seed=9, labels="cat", first_index=100), seed=7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ratio": -1}, "ratio is -1"),
        ({"ratio": "0.5"}, "ratio is '0.5'"),
        ({"ratio": []}, r"ratio is \[\]; give a number, or one for each epoch"),
        ({"ratio": [0.5, -1]}, "ratio is -1"),
        ({"ratio": lambda _: "much"}, "ratio is 'much'"),
        ({"ratio": 0.5, "counts": {"cat": 1}}, "ratio and counts exclude each other"),
        ({"balance": True, "top_up": True}, "balance and top_up exclude each other"),
        ({"counts": {"cow": 1}}, "counts names 'cow', and the real classes are 'cat', 'dog', 'emu'"),
        ({"counts": {3: 1}}, "counts names 3"),
        ({"counts": {"cat": 1.5}}, "the count of class 'cat' is 1.5; give a whole number"),
        ({"counts": {"cat": -1}}, "cannot be -1 synthetic images"),
        ({"counts": {1.0: 1}}, "counts names 1.0, and the real classes are"),
        ({"counts": {None: 1}}, "counts names None, and the real classes are"),
        ({"counts": {"cat": 1, 0: 2}}, "counts name class 'cat' twice"),
        ({"counts": 5}, "counts is 5; give a mapping from class to number of synthetic images, such as {'cat': 100}"),
        ({"counts": [{"cat": 1}, {"cat": 2}]}, r"counts is \[\{'cat': 1\}, .*; give a mapping from class"),
        ({"classes": 5}, "classes is 5; give the generator's class for each real label in a list"),
        ({"classes": "cat"}, "classes is 'cat'; give the generator's class"),
        ({"classes": [0, 1, 2]}, "classes names 0, and the generator's classes are 'cat', 'dog', 'emu'"),
        ({"classes": [["cat"], "dog", "emu"]}, r"classes names \['cat'\], and the generator's classes are"),
        ({"synthetic_transform": 3}, "synthetic_transform is 3; give something that is called with an image"),
        ({"transform": 3}, "transform is 3"),
        ({"channels": 4}, "channels is 4"),
        ({"images": "jax"}, "images is 'jax'"),
    ],
)
def test_arguments_that_cannot_be(real: Labelled, source: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mix(real, source, **{"seed": 7, **arguments})


def test_seeds_and_epochs_that_cannot_be(real: Labelled, source: Any) -> None:
    with pytest.raises(InvalidRequestError, match="give a seed"):
        mix(real, source)
    mixed = mix(real, source, seed=7)
    mixed.set_epoch(2**32 // 3 - 1)
    mixed[-1]
    with pytest.raises(InvalidRequestError, match="there are indices up to epoch"):
        mixed.set_epoch(2**32 // 3)
    with pytest.raises(IndexError):
        mixed[len(mixed)]


def items(*values: Any) -> list[Any]:
    return list(values)


@pytest.mark.parametrize(
    ("real", "message"),
    [
        ([], "the real data set is empty"),
        (iter([1]), "is not map-style"),
        ({"cat": [1]}, "dict is not map-style"),
        (None, "NoneType is not map-style"),
        (items(torch.zeros(3, 6, 5)), r"real item 0 is a Tensor, and not \(image, label\)"),
        (items((torch.zeros(3, 6, 5), "cat")), "labels of the real data set are not whole numbers"),
        (items((torch.zeros(3, 6, 5), -1)), "not whole numbers from 0: there is -1"),
        (items((torch.zeros(3, 6, 5), 0.5)), "not whole numbers"),
        (items((torch.zeros(6, 5, 3, dtype=torch.uint8), 0)), r"shape \(6, 5, 3\), .* channels first: \(3, 6, 5\)"),
        (items((torch.zeros(6, 5, 1, dtype=torch.uint8), 0)), r"shape \(6, 5, 1\), .* channels first: \(1, 6, 5\)"),
        (items((np.zeros((3, 6, 5), np.uint8), 0)), r"an array of shape \(3, 6, 5\), .* channels last: \(6, 5, 3\)"),
        (items((torch.zeros(4, 6, 5, dtype=torch.uint8), 0)), r"shape \(4, 6, 5\); give 1 or 3 channels, first"),
        (items((np.zeros((6, 5, 4), np.uint8), 0)), r"shape \(6, 5, 4\); give 1 or 3 channels, last"),
        (items((torch.zeros(30, dtype=torch.uint8), 0)), r"a tensor of shape \(30,\); give"),
        (items(("a.png", 0)), "real image 0 is a str, no PIL image, tensor or array"),
    ],
)
def test_real_data_sets_that_cannot_be(source: Any, real: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        mix(real, source, seed=7, classes=CLASSES)
