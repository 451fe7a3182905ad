"""One thing made while the one before is used: what is read and prepared next, while a model computes."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def make_ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """Yield `items`, in their order; each is made in a thread of its own while the one before it is used.

    One is made ahead and no more, so that at most two are held. What making one raises is raised here when its turn
    comes. The thread ends with this generator: close it when leaving early. Lines it logs tell of the caller's work.
    """
    context = copy_context()
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:

        def begin() -> Future[tuple[T, ...]]:
            return thread.submit(context.run, tuple, islice(items, 1))

        coming = begin()
        while made := coming.result():
            coming = begin()
            yield made[0]
