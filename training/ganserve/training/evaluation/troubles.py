"""What is wrong with a generator, told from its scores, with what to try."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from ganserve.training.balance import balance_hint
from ganserve.training.scores import ClassScores, Scores

from .classifier_training import NUM_POSES

_MIN_DIVERSITY: Final = 0.7
_MIN_RECALL: Final = 0.1
_MIN_CLASS_SHARE: Final = 0.1
"""Of the share among real images."""
_MIN_SKILL: Final = 0.3
"""Of the way from chance to what the judge gets right of real images."""
_MIN_JUDGE_SKILL: Final = 0.25
"""Of the way from chance to all right."""
_MIN_JUDGE_ACCURACY: Final = 0.3
"""Of a class, for its figures to say anything."""
_MOST_COPIED: Final = 0.05
"""Share of samples, beyond those that chance explains."""
_MOST_NAMES: Final = 10


class Trouble(NamedTuple):
    """One thing that is wrong."""

    kind: str
    text: str


def troubles_of(scores: Scores) -> list[Trouble]:
    """All that is wrong, the worst first."""
    found = (
        _ignored_classes(scores),
        _missing_classes(scores),
        _collapse(scores),
        _memorisation(scores),
        _weak_judge(scores),
    )
    return [trouble for trouble in found if trouble is not None]


def _collapse(scores: Scores) -> Trouble | None:
    if scores.diversity >= _MIN_DIVERSITY and scores.recall >= _MIN_RECALL:
        return None
    return Trouble(
        "collapse",
        "samples have too little of the variety of real images (mode collapse): they lie "
        f"{scores.diversity:.0%} as far apart as real images do, and near {scores.recall:.0%} of those; train longer, "
        "or try a lower --generator-lr or --loss rpgan",
    )


def _memorisation(scores: Scores) -> Trouble | None:
    """A generator that repeats training images."""
    if scores.copied is None or scores.copied_by_chance is None:
        return None
    if scores.copied - scores.copied_by_chance <= _MOST_COPIED:
        return None
    return Trouble(
        "memorisation",
        f"{scores.copied:.1%} of samples are nearer to a training image than the nearest held-out real images are, "
        f"where chance explains {scores.copied_by_chance:.1%}: copies of training images (memorisation), or samples "
        "that are all alike; look at the pairs, and try more images, an earlier checkpoint or --augment",
    )


def _ignored_classes(scores: Scores) -> Trouble | None:
    """A conditional generator that does not draw what it is asked for."""
    reached, chance, possible = scores.gan_test_balanced, scores.gan_test_chance, scores.judge_accuracy_balanced
    if reached is None or chance is None or possible is None or _is_weak(scores):
        return None
    ignored = [
        each
        for each in scores.classes
        if each.gan_test is not None and _is_known(each) and each.gan_test < _MIN_SKILL * (each.judge_accuracy or 1)
    ]
    if not ignored and reached - chance >= _MIN_SKILL * (possible - chance):
        return None
    named = f" ({_names([f'{each.name} {each.gan_test:.1%}' for each in ignored])})" if ignored else ""
    return Trouble(
        "ignored classes",
        f"samples are not of the class asked for{named}: GAN-test with classes counting alike is {reached:.1%}, where "
        f"chance gets {chance:.1%} and real images {possible:.1%}; {_cure(scores)}",
    )


def _missing_classes(scores: Scores) -> Trouble | None:
    """Classes that an unconditional generator never draws."""
    missing = [
        each.name
        for each in scores.classes
        if each.gan_test is None and _is_known(each) and each.share < _MIN_CLASS_SHARE * each.target_share
    ]
    if scores.gan_test is not None or not missing:
        return None
    return Trouble("missing classes", f"almost no sample looks like class {_names(missing)}; {_cure(scores)}")


def _weak_judge(scores: Scores) -> Trouble | None:
    """A judge that has not learnt to tell the data's classes, or poses, or some of them."""
    if _is_weak(scores):
        return Trouble(
            "weak judge",
            f"the judge itself gets only {_judge_accuracy(scores):.1%} of held-out real images right, and by chance "
            f"{_chance(scores):.1%}, so the scores say little; more images help",
        )
    unknown = [f"{each.name} {each.judge_accuracy:.1%}" for each in scores.classes if not _is_known(each)]
    if not unknown:
        return None
    return Trouble(
        "weak judge",
        f"the judge itself hardly knows some classes ({_names(unknown)} of their held-out real images), so the scores "
        "say little of them; more images of them help",
    )


def _is_weak(scores: Scores) -> bool:
    chance = _chance(scores)
    return _judge_accuracy(scores) - chance < _MIN_JUDGE_SKILL * (1 - chance)


def _judge_accuracy(scores: Scores) -> float:
    balanced = scores.judge_accuracy_balanced
    return scores.judge_accuracy if balanced is None else balanced


def _chance(scores: Scores) -> float:
    return 1 / (len(scores.classes) or NUM_POSES)


def _is_known(each: ClassScores) -> bool:
    return each.judge_accuracy is None or each.judge_accuracy >= _MIN_JUDGE_ACCURACY


def _cure(scores: Scores) -> str:
    hint = balance_hint([each.target_share for each in scores.classes])
    return f"train longer, or try --loss rpgan{f', or --balance-classes: {hint}' if hint else ''}"


def _names(names: Sequence[str]) -> str:
    more = f", … ({len(names):,} in all)" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
