"""Requests that are under way ahead of whoever reads their answers."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial

from ganserve.client._calls.submissions import Submissions
from ganserve.client._samples.samples import Samples

from ._recipe import Recipe


class RequestsAhead:
    """The samples of blocks of indices, in order, of which a few are asked for ahead.

    After an error, and in a forked child, which has none of its parent's threads, it cannot be used any more.
    """

    def __init__(self, recipe: Recipe, prefetch: int, blocks: Iterator[list[int]]) -> None:
        """Asks for the first `prefetch` blocks."""
        self._recipe = recipe
        self._blocks = blocks
        self._process = os.getpid()
        self._failed = False
        self._threads = Submissions(prefetch)
        self._answers: deque[Future[Samples]] = deque()
        for _ in range(prefetch):
            self._ask()

    def is_usable(self) -> bool:
        """Whether `next` gives what comes next."""
        return not self._failed and self._process == os.getpid()

    def next(self) -> Samples:
        """The samples of the next block. Raises StopIteration behind the last one, and RequestError."""
        if not self._answers:
            raise StopIteration
        try:
            samples = self._answers[0].result()
        except BaseException:
            self._failed = True
            raise
        self._answers.popleft()
        self._ask()
        return samples

    def _ask(self) -> None:
        if block := next(self._blocks, None):
            self._answers.append(self._threads.submit(partial(self._recipe.fetch, block)))
