"""What the command does, from the images to the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from torch import nn

from ganserve.client import SampleSource
from ganserve.contract.errors import DatasetError
from ganserve.contract.files import new_file
from ganserve.contract.resizing import ResizeMode
from ganserve.training.config import DeviceName
from ganserve.training.datasets import Resize
from ganserve.training.device import choose_device
from ganserve.training.evaluation import Memorisation, feature_extractor_for
from ganserve.training.previews import write_png
from ganserve.training.waiting import OnProgress, shown

from .classifiers import check_classifier, load_classifier
from .copies import memorisation_of
from .doubts import doubts_of
from .estimate import estimate_s
from .images import RealImages
from .plot import draw_plot
from .records import Records
from .report import Facts, print_report, to_dict
from .samples import SamplePool, match_classes
from .settings import Settings
from .sizes import num_samples_of_class, sizes_of
from .study import Study


@contextmanager
def loading(size: str | None, mode: ResizeMode) -> Iterator[tuple[Resize | None, OnProgress]]:
    """How images come to one size, and who is told of those that are decoded. Raises ConfigError."""
    resize = None if size is None else Resize.parse(size, mode)
    with shown(Console(stderr=True), "decoding") as on_progress:
        yield resize, on_progress


@dataclass(frozen=True)
class Session:
    """A study with the one who watches it."""

    study: Study
    facts: Facts
    console: Console
    messages: Console

    @classmethod
    def begin(
        cls, real: RealImages, source: SampleSource, settings: Settings, *, device: DeviceName, path: Path
    ) -> Session:
        """Looks at everything that a study needs, and reads the results of an earlier start from `path`.

        Raises ConfigError, DatasetError and ArtifactError where it cannot be done.
        """
        chosen_device = choose_device(device)
        height, width, channels = real.training.images.shape[1:]
        num_classes = real.training.num_classes
        make = load_classifier(settings.classifier)
        classifier = check_classifier(make, settings.classifier, (height, width, channels), num_classes)
        source = source.pinned()
        model = source.get_model()
        known = match_classes(real.training.class_names, model)
        sizes = sizes_of(real, settings, num_known=len(known))
        num_of_class = num_samples_of_class(sizes, settings.ratios, [label in known for label in range(num_classes)])
        that_count = {
            "--real": real.training.digest,
            "classes": list(real.training.class_names),
            "test images": real.test.digest,
            "model": model.digest,
            **settings.that_count(),
            "device": chosen_device.type,
        }

        def make_new() -> nn.Module:
            return make(num_classes, channels, (height, width))

        study = Study(
            real=real,
            pool=SamplePool(source, known, (height, width, channels), num_of_class),
            settings=settings,
            records=Records(path, that_count, len(real.test_labels)),
            make=make_new,
            device=chosen_device,
        )
        facts = Facts(
            model=model,
            num_parameters=sum(parameter.numel() for parameter in classifier.parameters()),
            warnings=tuple(doubts_of(real, model, [size.real_counts for size in sizes])),
        )
        return cls(study, facts, Console(), Console(stderr=True))

    def introduce(self) -> None:
        """Shows what is compared and how long that takes."""
        lines = self.facts.lines(self.study)
        if num_left := self.study.num_trainings_left:
            duration = timedelta(seconds=round(estimate_s(self.study)))
            lines.append(f"time        about {duration} for {num_left} trainings, found by a few steps")
        for line in lines:
            self.console.print(line, soft_wrap=True, highlight=False, markup=False)

    def run(self, *, memorisation: bool) -> None:
        """Trains, tests, and shows the tables and the verdict; the file of results gets them too, and a plot."""
        path = self.study.records.path
        try:
            with shown(self.messages, "drawing samples") as on_progress:
                self.study.pool.draw(self.study.seeds_to_draw, on_progress)
            with shown(self.messages, "training") as on_progress:
                found = list(self.study.run(on_progress))
            copies = self._look_for_copies() if memorisation else None
        except KeyboardInterrupt:
            num_done = sum(1 for _ in self.study.records)
            self.messages.print(f"{num_done} trainings are kept in {path}; the same command goes on", markup=False)
            raise
        pictures = {"plot": path.with_suffix(".png")}
        title = f"{self.study.real.training.name}, samples of {self.facts.model.name}: balanced accuracy on test images"
        with new_file(pictures["plot"]) as temporary:
            draw_plot(found, title).save(temporary, "png")
        if isinstance(copies, Memorisation):
            pictures["nearest"] = path.with_name(f"{path.stem}-nearest.png")
            write_png(pictures["nearest"], copies.picture(self.study.real.training))
        self.study.records.finish(to_dict(self.facts, self.study, found, copies))
        print_report(self.study, found, copies, self.console)
        for name, picture in pictures.items():
            self.console.print(f"{name:<11} {picture}", soft_wrap=True, highlight=False, markup=False)

    def _look_for_copies(self) -> Memorisation | str:
        """What is found, or why nothing can be."""
        real, device = self.study.real, self.study.device
        try:
            with shown(self.messages, "learning to judge samples, once for these images") as on_progress:
                judge = feature_extractor_for(real.training, device=device, on_progress=on_progress)
            with shown(self.messages, "looking for the nearest training images") as on_progress:
                return memorisation_of(real, self.study.pool, judge=judge, device=device, on_progress=on_progress)
        except DatasetError as error:
            return str(error)
