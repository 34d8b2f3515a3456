"""What was measured of ours and of the others, by load."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

from ganserve.contract.measurements import Spread

from .load import Figures

PEERS: Final = ("threads", "pytriton", "mlserver", "litserve", "ray")
OURS: Final = ("by address", "own latents", "coalesced")


@dataclass(frozen=True)
class CallersLoad:
    """Callers, and how many images each asks for at a time."""

    num_callers: int
    num_images: int

    @property
    def name(self) -> str:
        return f"{self.num_callers} caller{'s' * (self.num_callers > 1)} × {self.num_images}"

    def calls(self, form: str) -> tuple[int, int]:
        """Calls under way and images of each. A client that coalesces has two calls under way for all callers."""
        return (2, self.num_callers // 2) if form == "coalesced" else (self.num_callers, self.num_images)

    def ways(self) -> tuple[str, ...]:
        """How ours is asked; single calls of a single caller do not travel together."""
        return OURS if self.num_images == 1 < self.num_callers else OURS[:2]


LOADS: Final = (CallersLoad(64, 1), CallersLoad(1, 1), CallersLoad(1, 64), CallersLoad(4, 64))


@dataclass
class Comparison:
    """What was measured.

    Attributes:
        peers: the others.
        loads: what they were asked.
        limits: images/s of the model without a server, a value a round and peer.
        turns: by name of the load and of the peer, a dictionary a round: the peer's figures, and ours beside it by each
            way of asking.
        resident_mb: memory at the end of the loads, by server, a value a round.
        start_s: seconds from the start to the first right answer, by server.
    """

    peers: list[str]
    loads: tuple[CallersLoad, ...]
    limits: list[float] = field(default_factory=list)
    turns: dict[str, dict[str, list[dict[str, Figures]]]] = field(default_factory=dict)
    resident_mb: dict[str, list[float]] = field(default_factory=dict)
    start_s: dict[str, list[float]] = field(default_factory=dict)

    def contestants(self, load: CallersLoad) -> list[str]:
        return [*load.ways(), *self.peers]

    def figures(self, load: CallersLoad, name: str) -> list[Figures]:
        """All turns of a peer, or of ours by a way of asking."""
        return [turn[name] for turns in self.turns[load.name].values() for turn in turns if name in turn]

    def waits_ms(self, load: CallersLoad, name: str, percentile: str) -> list[float]:
        return [getattr(figures, percentile) for figures in self.figures(load, name)]

    def ratio(self, load: CallersLoad, way: str, peer: str) -> Spread | None:
        """Images/s of ours by a way of asking over those of a peer; None where they did not meet."""
        turns = self.turns[load.name].get(peer, [])
        if way not in load.ways() or not turns:
            return None
        return Spread.of([turn[way].images_per_s / turn[peer].images_per_s for turn in turns])

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values, with the ratios."""
        ratios = {
            load.name: {
                f"{way} / {peer}": ratio._asdict()
                for way in load.ways()
                for peer in self.peers
                if (ratio := self.ratio(load, way, peer))
            }
            for load in self.loads
        }
        return {**asdict(self), "ratios": ratios}
