"""What stands behind the question mark of a URL."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from starlette.datastructures import QueryParams

from ganserve.contract.errors import InvalidRequestError
from ganserve.v1.generator_pb2 import Balanced, ClassReference, LabelPolicy, Uniform
from ganserve.v1.model_pb2 import ModelCard

_WHOLE: Final = re.compile("[0-9]{1,9}")
_REAL: Final = re.compile(r"[0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?", re.IGNORECASE)
_POLICIES: Final = {
    "balanced": LabelPolicy(balanced=Balanced()),
    "uniform": LabelPolicy(uniform=Uniform()),
}


@dataclass
class Parameters:
    """Parameters, by name. Each is taken once, and what nobody takes is a mistake.

    Attributes:
        written: those taken, in that order, as they stand in the URL that is written again.
    """

    given: QueryParams
    written: dict[str, str] = field(default_factory=dict)
    _known: set[str] = field(default_factory=set)

    def take(self, name: str) -> str | None:
        """The text of a parameter, if it is there."""
        self._known.add(name)
        texts = self.given.getlist(name)
        if len(texts) > 1:
            raise InvalidRequestError(f"{name} is given {len(texts)} times; give it once", field=name)
        return texts[0] if texts else None

    def take_whole(self, name: str, *, low: int, high: int) -> int | None:
        """A whole number."""
        text = self.take(name)
        if text is None:
            return None
        if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
            raise InvalidRequestError(f"{name} is {text[:40]!r}; give a whole number, {low} to {high}", field=name)
        self.written[name] = str(int(text))
        return int(text)

    def take_real(self, name: str) -> float | None:
        """A number."""
        text = self.take(name)
        if text is None:
            return None
        if not _REAL.fullmatch(text):
            raise InvalidRequestError(f"{name} is {text[:40]!r}; give a number, such as 1.5", field=name)
        self.written[name] = repr(float(text))
        return float(text)

    def take_labels(self, card: ModelCard) -> LabelPolicy | None:
        """A class by its name or label, or a policy; a number is a label unless a class has that very name."""
        text = self.take("class")
        if text is None:
            return None
        self.written["class"] = text
        if text not in card.class_names:
            if text in _POLICIES:
                return _POLICIES[text]
            if _WHOLE.fullmatch(text):
                return LabelPolicy(one=ClassReference(label=int(text)))
        return LabelPolicy(one=ClassReference(name=text))

    def check_all_taken(self) -> None:
        """Raises InvalidRequestError where something is given that has no meaning here."""
        for name in self.given:
            if name not in self._known:
                advice = f"use {', '.join(sorted(self._known))}" if self._known else "leave it out"
                raise InvalidRequestError(f"there is no parameter {name[:40]!r}; {advice}", field=name[:40])
