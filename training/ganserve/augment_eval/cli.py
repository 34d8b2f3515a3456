"""`ganserve augment-eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from ganserve.client.cli.access import AccessFlags
from ganserve.client.cli.source import DEFAULT_SERVER, MODEL, Servers, open_source, show_waiting
from ganserve.contract.resizing import ResizeMode
from ganserve.training.config import DeviceName
from ganserve.training.openmp import bound_spinning

from .settings import DEFAULT_CLASSIFIER, MIN_SEEDS, Settings, parse_numbers

bound_spinning()

_IMAGES = Group("Real images", sort_key=0)
_STUDY = Group("What is compared", sort_key=2)
_OUTPUT = Group("Output", sort_key=3)


def augment_eval(
    *,
    real: Annotated[str, Parameter(group=_IMAGES)],
    test: Annotated[str | None, Parameter(group=_IMAGES)] = None,
    holdout: Annotated[float | None, Parameter(group=_IMAGES)] = None,
    size: Annotated[str | None, Parameter(group=_IMAGES)] = None,
    resize_mode: Annotated[ResizeMode, Parameter(group=_IMAGES)] = "stretch",
    skip_bad: Annotated[bool, Parameter(negative="", show_default=False, group=_IMAGES)] = False,
    model: Annotated[str | None, Parameter(group=MODEL)] = None,
    bundle: Annotated[Path | None, Parameter(group=MODEL)] = None,
    server: Servers = (DEFAULT_SERVER,),
    version: Annotated[int | None, Parameter(group=MODEL)] = None,
    digest: Annotated[str, Parameter(group=MODEL, show_default=False)] = "",
    timeout: Annotated[float, Parameter(group=MODEL)] = 30.0,
    access: AccessFlags = None,
    per_class: Annotated[str, Parameter(group=_STUDY, show_default=False)] = "",
    ratios: Annotated[str, Parameter(group=_STUDY)] = "0.25,0.5,1,2,4",
    seeds: Annotated[int, Parameter(group=_STUDY)] = MIN_SEEDS,
    classifier: Annotated[str, Parameter(group=_STUDY)] = DEFAULT_CLASSIFIER,
    steps: Annotated[int | None, Parameter(group=_STUDY)] = None,
    batch_size: Annotated[int, Parameter(group=_STUDY)] = 64,
    learning_rates: Annotated[str, Parameter(group=_STUDY)] = "0.001,0.003",
    validation: Annotated[float, Parameter(group=_STUDY)] = 0.2,
    mirror: Annotated[bool | None, Parameter(group=_STUDY)] = None,
    memorisation: Annotated[bool, Parameter(group=_STUDY)] = True,
    device: Annotated[DeviceName, Parameter(group=_STUDY)] = "auto",
    json: Annotated[Path, Parameter(group=_OUTPUT)] = Path("augment-eval.json"),
    dry_run: Annotated[bool, Parameter(negative="", show_default=False, group=_OUTPUT)] = False,
) -> None:
    """Find out whether synthetic images help a classifier of yours.

    Small classifiers learn from real images as they are, oversampled, with classic augmentation, with synthetic images
    in several amounts, with both, and from synthetic images alone; all take the same steps from the same first weights.
    The amount is chosen on validation images, and a paired test on real test images says whether it helps:

        ganserve augment-eval --real DATA --bundle models/mnist/1 --per-class 20,100,500

    Results are written as they come. After Ctrl-C the same command goes on where it stopped.

    Args:
        real: Real images with classes, as `ganserve train --data` takes them.
        test: Real images to test on, of the test split where there is one; by default the test split of --real.
        holdout: Share of --real to test on, such as 0.2, where there are no other test images.
        size: Size that real images are brought to, 32 or 32x48 as height by width; by default they stay as they are.
        resize_mode: How images of other sizes come to --size.
        skip_bad: Leave bad images out.
        model: Name of a server's model, or name:version.
        bundle: Folder of a bundle, MODELS/NAME/VERSION, to run here in place of --model and --server.
        server: Address of a server, host:port. Give it several times for several servers.
        version: Version of the model; the highest by default.
        digest: SHA-256 of the model; no other answers.
        timeout: Most seconds to wait for the next samples.
        per_class: Real images of each class that there shall be, such as 20,100,500; by default all there are.
        ratios: Synthetic images for one real image.
        seeds: How often everything is repeated, with other first weights, real images and samples; at least 3.
        classifier: module:function of a classifier of your own, called as function(num_classes, channels, (height,
            width)); it takes images float32 (N, channels, height, width) in [-1, 1] and gives logits.
        steps: Steps of every training; by default 15 passes through the real images, between 200 and 800.
        batch_size: Images a step.
        learning_rates: Each is tried, and the best on validation images taken, for each training by itself.
        validation: Share of the real images to choose by; nothing learns from them.
        mirror: Whether classic augmentation mirrors images; by default where classifiers of real images tell mirrored
            ones about as well.
        memorisation: Whether to tell if samples are copies of the real images.
        device: Where to train; auto is CUDA where there is one, else the CPU.
        json: File of the results; a plot and a picture of nearest neighbours go beside it.
        dry_run: Say what would be done and how long it would take.
    """
    settings = Settings(
        per_class=tuple(int(number) for number in parse_numbers(per_class, "--per-class", int)),
        ratios=parse_numbers(ratios, "--ratios", float),
        num_seeds=seeds,
        learning_rates=parse_numbers(learning_rates, "--learning-rates", float),
        num_steps=steps,
        batch_size=batch_size,
        validation=validation,
        mirror=mirror,
        classifier=classifier,
    )
    # Here and not above, because torch takes a second to import, and --help needs none.
    from .images import load_real
    from .session import Session, loading

    show_waiting()
    with open_source(model, bundle, server, version=version, digest=digest, timeout_s=timeout, access=access) as source:
        with loading(size, resize_mode) as (resize, on_progress):
            images = load_real(
                real, test=test, holdout=holdout, resize=resize, skip_bad=skip_bad, on_progress=on_progress
            )
        session = Session.begin(images, source, settings, device=device, path=json)
        session.introduce()
        if not dry_run:
            session.run(memorisation=memorisation)
