"""How much of anything one request may ask for, of one model on one server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.text import counted

# A Generate reply stays under gRPC's default limit of 4 MiB, headers and file formats' overhead included.
REPLY_BYTES: Final = 3 * 1024**2
_OVERHEAD_BYTES_PER_SAMPLE: Final = 512

_STREAM_REPLY_BYTES: Final = 1024**2
_STREAM_REPLY_SAMPLES: Final = 1024
_STREAM_AHEAD_BYTES: Final = 64 * 1024**2
_STREAM_AHEAD_BATCHES: Final = 2  # of every lane


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Made once, from the model's outputs, its engine and the server's settings.

    Attributes:
        sample_bytes: what one sample weighs in a reply of raw values.
        samples_per_request: most samples of one reply that is no part of a stream.
        samples_per_part: most samples of one part of a stream.
        samples_ahead: samples that keep every lane busy while a part is sent.
    """

    sample_bytes: int
    samples_per_request: int
    samples_per_part: int
    samples_ahead: int

    @classmethod
    def of(cls, sample_bytes: int, *, num_lanes: int, max_batch: int, max_queued_rows: int) -> Self:
        """The limits of a model with such samples."""
        fitting = REPLY_BYTES // (sample_bytes + _OVERHEAD_BYTES_PER_SAMPLE)
        per_part = min(_STREAM_REPLY_BYTES // sample_bytes, _STREAM_REPLY_SAMPLES, max_queued_rows // 2)
        return cls(
            sample_bytes=sample_bytes,
            samples_per_request=max(1, min(fitting, max_queued_rows)),
            samples_per_part=max(1, per_part),
            samples_ahead=_STREAM_AHEAD_BATCHES * num_lanes * max_batch,
        )

    @classmethod
    def shared(cls, loads: Sequence[tuple[Limits, int]]) -> Limits:
        """Those of several models that run so many rows each for a sample; the last one's samples are sent."""
        return cls(
            sample_bytes=loads[-1][0].sample_bytes,
            samples_per_request=max(1, min(limits.samples_per_request // num_rows for limits, num_rows in loads)),
            samples_per_part=max(1, min(limits.samples_per_part // num_rows for limits, num_rows in loads)),
            samples_ahead=max(1, min(limits.samples_ahead // num_rows for limits, num_rows in loads)),
        )

    def reply_bytes(self, num_samples: int) -> int:
        """What so many samples weigh."""
        return num_samples * self.sample_bytes

    def framed_bytes(self, num_samples: int) -> int:
        """What so many samples take of the `REPLY_BYTES` of a reply, in any form."""
        return num_samples * (self.sample_bytes + _OVERHEAD_BYTES_PER_SAMPLE)

    def check_request(self, num_samples: int, *, field: str) -> None:
        """Raises InvalidRequestError where so many samples do not fit one reply."""
        if num_samples > self.samples_per_request:
            raise InvalidRequestError(
                f"one reply cannot hold {counted(num_samples, 'sample')}; this model makes 1 to "
                f"{self.samples_per_request:,} at once; ask in several calls, or for a stream",
                field=field,
            )

    def part_size(self, asked: int | None) -> int:
        """Samples of each part of a stream, where the caller asked for at most `asked`. Raises InvalidRequestError."""
        if asked is None:
            return self.samples_per_part
        if asked == 0:
            raise InvalidRequestError("max_batch_size is 0; give at least 1, or leave it out", field="max_batch_size")
        return min(asked, self.samples_per_part)

    def parts_ahead(self, part_size: int) -> int:
        """Parts that a stream has under way at once: enough for the lanes, but bounded in bytes; at least 2."""
        wanted = 1 + -(-self.samples_ahead // part_size)
        return max(2, min(wanted, _STREAM_AHEAD_BYTES // self.reply_bytes(part_size)))
