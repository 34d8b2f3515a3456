"""What a study says, in words."""

from __future__ import annotations

from typing import Final

from .comparison import Outcome
from .findings import Comparison, SizeFindings

_QUESTIONS: Final = ("Synthetic images", "On top of classic augmentation, synthetic images")
_SAYS: Final[dict[Outcome, str]] = {
    "help": "{question} help",
    "hurt": "{question} hurt",
    "cannot be told apart": (
        "{question}: with and without them cannot be told apart, though more seeds or test images might tell"
    ),
}
_SATURATED: Final = (
    "{question}: these test images cannot tell, for with and without them every one is told right; fewer real images "
    "(--per-class) or harder test images (--test) might"
)
_SHOWN_DECIMALS: Final = 3
_SPOILT_BY: Final = 0.01


def verdict(found: SizeFindings) -> str:
    """What one size says: whether synthetic images help, alone and beside classic augmentation, and what is best.

    A line each.
    """
    comparisons = found.comparisons()
    sentences = [_answer(question, each) for question, each in zip(_QUESTIONS, comparisons, strict=True)]
    sentences += [_trap(found), _best(found)]
    return "\n".join(sentence for sentence in sentences if sentence)


def _answer(question: str, compared: Comparison) -> str:
    left, right, difference = compared.with_samples, compared.without, compared.difference
    figures = (
        f"{left.arm.name} (amount chosen on validation images) gets {left.balanced_accuracy} of balanced accuracy, and "
        f"{right.arm.name} {right.balanced_accuracy}: {_points(difference.mean)} points, 95 % interval "
        f"{_points(difference.low)} to {_points(difference.high)}, adjusted p {_p(compared.adjusted_p)}"
    )
    says = _SATURATED if compared.is_saturated else _SAYS[compared.outcome]
    return f"{says.format(question=question)}: {figures}."


def _trap(found: SizeFindings) -> str:
    """Warns of filling up where it shows."""
    for topped_up in found.of_kind("topped up"):
        loss = found.baseline.balanced_accuracy.mean - topped_up.balanced_accuracy.mean
        if loss > _SPOILT_BY:
            return (
                f"Filling the smaller classes up with samples gets {_points(-loss)} points against oversampling: where "
                "one class is mostly real and another mostly synthetic, a classifier learns to tell generated images "
                "from real ones instead of classes."
            )
    return ""


def _best(found: SizeFindings) -> str:
    best = found.best
    top = max((best, *found.arms), key=lambda each: round(each.balanced_accuracy.mean, _SHOWN_DECIMALS))
    text = f"Best overall, by validation images, is {best.arm.name}, with {best.balanced_accuracy} on the test images"
    if top is not best:
        text += f" (the highest there is {top.arm.name}, {top.balanced_accuracy}, which nobody could have known before)"
    return f"{text}."


def _points(share: float) -> str:
    return f"{round(100 * share, 1) + 0.0:+.1f}"


def _p(p: float) -> str:
    return f"= {p:.2g}" if p >= 0.001 else "< 0.001"
