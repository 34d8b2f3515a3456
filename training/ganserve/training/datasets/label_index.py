"""Labels that lie in a file beside the images, whatever the file's format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ganserve.contract.errors import DatasetError

from .dataset import Split
from .layouts import Inner, Layout

_INDEX_BYTES = 16 * 2**20
_INDEX_BYTES_AN_IMAGE = 512


@dataclass(frozen=True)
class LabelIndex:
    """What such a file says.

    Attributes:
        file_name: its name, for messages.
        labels: a class for each path; None where the images have none.
        class_names: the name of each class number; empty where the file has no names.
        split: which split all of the images are.
        digest: of the images, as ImageDataset has it; empty where the file has none.
    """

    file_name: str
    labels: Mapping[Inner, int] | None
    class_names: tuple[str, ...]
    split: Split = "train"
    digest: str = ""

    def lay_out(self, images: Sequence[Inner], top: Inner, source: str) -> Layout:
        """Gives each image its label; the paths in the file are below `top`, in small letters or capitals.

        Without names, a class is a number that occurs. Raises DatasetError.
        """
        if self.labels is None:
            return Layout({self.split: [(path, None) for path in images]}, ())
        labels = self._by_image(images, top, self.labels)
        self._refuse_differences(set(images), set(labels), source)
        numbers = range(len(self.class_names)) if self.class_names else sorted(set(labels.values()))
        label_of = {number: label for label, number in enumerate(numbers)}
        unknown = {number for number in labels.values() if number not in label_of}
        if unknown:
            raise DatasetError(
                f"{source}: its {self.file_name} has class {min(unknown)}, but {len(numbers)} class names"
            )
        return Layout(
            splits={self.split: [(path, label_of[labels[path]]) for path in images]},
            class_names=self.class_names or tuple(map(str, numbers)),
        )

    @staticmethod
    def _by_image(images: Sequence[Inner], top: Inner, labels: Mapping[Inner, int]) -> dict[Inner, int]:
        """The labels by the paths of the images, where those differ at most in capitals, as they may on Windows."""
        written = {top + path: label for path, label in labels.items()}
        folded = [_fold(path) for path in written]
        if written.keys() == set(images) or len(set(folded)) < len(folded):
            return written
        image_of = {_fold(path): path for path in images}
        if len(image_of) < len(images):
            return written
        return {image_of.get(_fold(path), path): label for path, label in written.items()}

    def _refuse_differences(self, images: set[Inner], labelled: set[Inner], source: str) -> None:
        faults = ((images - labelled, "have no label in its"), (labelled - images, "are missing but in its"))
        for paths, fault in faults:
            if paths:
                example = "/".join(min(paths))
                raise DatasetError(f"{source}: {len(paths):,} images {fault} {self.file_name}, such as {example}")


def _fold(path: Inner) -> Inner:
    return tuple(part.casefold() for part in path)


def max_index_bytes(num_images: int) -> int:
    """How large the labels of so many images may be; parsed, they can take thirty times their bytes."""
    return _INDEX_BYTES + _INDEX_BYTES_AN_IMAGE * num_images
