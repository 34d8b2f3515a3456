"""Figures and pictures for TensorBoard.

They are on disk when a call returns. TensorBoard's own writer has a thread for that, so a full disk would be found out
later, by a traceback of that thread.
"""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

_FILE_VERSION = "brain.Event:2"


class EventFile:
    """One file of events, for one process's part of a run. Its methods raise OSError where it cannot be written."""

    def __init__(self, folder: Path, *, first_step: int) -> None:
        """Begins a file in `folder`; events of `first_step` and later in other files there are no longer shown."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / f"events.out.tfevents.{time.time_ns()}.{os.getpid()}").open("xb")
        self._records = RecordWriter(self._file)
        self._write(Event(file_version=_FILE_VERSION))
        self._write(Event(step=first_step, session_log=SessionLog(status=SessionLog.START)))

    def add_scalar(self, name: str, value: float, *, step: int) -> None:
        """Adds one point of the curve `name`."""
        self._write(Event(step=step, summary=Summary(value=[Summary.Value(tag=name, simple_value=value)])))

    def add_picture(self, name: str, picture: npt.NDArray[np.uint8], *, step: int) -> None:
        """Adds a picture, uint8 (H, W, C) with one or three channels."""
        height, width, num_channels = picture.shape
        png = io.BytesIO()
        Image.fromarray(picture[..., 0] if num_channels == 1 else picture).save(png, format="PNG")
        image = Summary.Image(height=height, width=width, colorspace=num_channels, encoded_image_string=png.getvalue())
        self._write(Event(step=step, summary=Summary(value=[Summary.Value(tag=name, image=image)])))

    def close(self) -> None:
        """Ends the file."""
        self._file.close()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())
        self._file.flush()
