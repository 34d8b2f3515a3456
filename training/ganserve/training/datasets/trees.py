"""Images that lie in a folder or a zip, which are the same to everything here: a `Tree` of files by their paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import IO

from ganserve.contract.errors import DatasetError

from . import fingerprints
from .dataset import Split
from .image_files import ImageFile
from .label_index import LabelIndex, max_index_bytes
from .label_table import RECIPE_NAME, TABLE_NAME, parse_table, say_columns
from .layouts import Inner, common_top, lay_out
from .left_out import is_aside, is_image, is_unread_image, kinds, say_left_out, say_no_images
from .listing import Listing
from .stylegan import INDEX_NAME, parse_index

_PARSERS = {INDEX_NAME: parse_index, TABLE_NAME: parse_table}
_MAX_DEPTH = 3


@dataclass(frozen=True)
class Tree:
    """The files of a folder or zip.

    Attributes:
        source: what people call it, for messages.
        name: short name, such as that of the folder.
        openers: how to open the file at each path.
        fingerprint_of: changes whenever the files at these paths may hold something else.
        read: the content of the file at a path, if it has at most so many bytes. Raises DatasetError, ArtifactError.
    """

    source: str
    name: str
    openers: Mapping[Inner, Callable[[], IO[bytes]]]
    fingerprint_of: Callable[[Sequence[Inner]], str]
    read: Callable[[Inner, int], bytes]

    @cached_property
    def paths(self) -> list[Inner]:
        """Of all files, sorted, without hidden ones and what systems put beside people's files."""
        return sorted(path for path in self.openers if path and not is_aside(path))

    @cached_property
    def images(self) -> list[Inner]:
        """Of all images, sorted. Raises DatasetError for a path that leads out of the source."""
        images = [path for path in self.paths if is_image(path)]
        for path in images:
            if path[0] == "/" or ".." in path:
                raise DatasetError(
                    f"{self.source}: {'/'.join(path)} leads out of it; make it again with paths inside it"
                )
        return images

    @property
    def folders(self) -> list[Inner]:
        """Those that hold files, and those that they lie in, to a depth of three."""
        return sorted({path[:depth] for path in self.paths for depth in range(1, min(len(path), _MAX_DEPTH + 1))})

    def list_split(self, split: Split) -> Listing | None:
        """The images of the split; None where there is no such split.

        The fingerprint covers all images and the file with their labels. Raises DatasetError, ArtifactError, OSError.
        """
        if not self.images:
            raise DatasetError(say_no_images(self.paths, self.source))
        top, index = self._find_index()
        if index is None:
            self._refuse_lost_classes()
            layout = lay_out(self.images, split, self.source)
            if not layout.class_names:
                self._refuse_other_tables()
        else:
            layout = index.lay_out(self.images, top, self.source)
        if split not in layout.splits:
            return None
        counting = self.images if index is None else [*self.images, (*top, index.file_name)]
        known_names = frozenset({RECIPE_NAME, INDEX_NAME, *([TABLE_NAME] if index else [])})
        return Listing(
            source=self.source,
            name=self.name,
            files=[ImageFile("/".join(path), label, self.openers[path]) for path, label in layout.splits[split]],
            class_names=layout.class_names,
            fingerprint=fingerprints.of_text("tree", split, layout.class_names, self.fingerprint_of(counting)),
            digest=index.digest if index else "",
            notes=(*layout.notes, *say_left_out(self.paths, known_names)),
        )

    def _find_index(self) -> tuple[Inner, LabelIndex | None]:
        """The outermost file with labels for the images, and the folder that it lies in."""
        for path in self._index_paths():
            index = _PARSERS[path[-1]](self._read_index(path), self.source)
            if index is not None:
                return path[:-1], index
        return (), None

    def _index_paths(self) -> Iterator[Inner]:
        """Of the files that may have labels, the outermost first."""
        top = common_top(self.images)
        paths = ((*top[:depth], name) for depth in range(len(top) + 1) for name in _PARSERS)
        return (path for path in paths if path in self.openers)

    def _read_index(self, path: Inner) -> bytes:
        return self.read(path, max_index_bytes(len(self.images)))

    def _refuse_other_tables(self) -> None:
        """Raises DatasetError for a `labels.csv` without the columns of one, where nothing else gives classes."""
        for path in self._index_paths():
            if path[-1] == TABLE_NAME:
                raise DatasetError(say_columns(self._read_index(path), self.source))

    def _refuse_lost_classes(self) -> None:
        """Raises DatasetError for a class folder in which no image is of a format that is read."""
        unread = [path for path in self.paths if is_unread_image(path)]
        if not unread:
            return
        try:
            layout = lay_out(sorted(self.images + unread), "train", self.source)
        except DatasetError:  # They lie where no class is; what is read is laid out without them.
            return
        read = set(self.images)
        places = [place for places in layout.splits.values() for place in places]
        labels = {label for path, label in places if path in read}
        for label, name in enumerate(layout.class_names):
            if label not in labels:
                lost = [path for path, of_class in places if of_class == label]
                raise DatasetError(
                    f"{self.source}: the images in {name}/ are all of formats that are not read, "
                    f"{kinds(lost)}; save them as PNG or JPEG, remove the folder, or give one without it"
                )
