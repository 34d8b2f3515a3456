"""The images that every server must give before it is measured."""

from __future__ import annotations

import numpy as np

from peer_servers.model import Model

from .connections import connected
from .errors import PeerError
from .forms import FORMS, Rows

FIRST_INDEX = 5
COUNT = 3


class Answer:
    """What the model itself makes of some latents."""

    def __init__(self, file: str) -> None:
        model = Model(file, num_threads=1)
        self._rows = Rows(FIRST_INDEX, COUNT, model.latent_dim)
        self._images = model(self._rows.latents())

    async def check(self, form: str, port: int) -> None:
        """Asks a server for the images.

        Raises:
            PeerError: it does not answer.
            WrongAnswerError: it gives others, by more than a level.
        """
        async with connected(FORMS[form], port, 1) as (connection,):
            reply = await connection.ask(FORMS[form].request(self._rows))
        pixels = FORMS[form].pixels(reply)
        if len(pixels) != self._images.size:
            raise WrongAnswerError(f"{len(pixels):,} bytes for images of {self._images.size:,}")
        given = np.frombuffer(pixels, np.uint8).reshape(self._images.shape)
        if (levels := np.abs(given.astype(int) - self._images).max()) > 1:
            raise WrongAnswerError(f"other images than the model's, by {levels} levels")


class WrongAnswerError(PeerError):
    """Images, but not the model's."""
