"""What was made once and is asked for again: pages and pictures in memory, the least recently used dropped first.

    shelf = Shelf(256 * 2**20)
    shelf.get(("plate", "relu5", 42), lambda: plate(...))

Threads that want the same thing at once make it once. Knows bytes and keys, nothing of atlases.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock


class Shelf:
    """Bytes by key, at most `limit` bytes in all."""

    def __init__(self, limit: int) -> None:
        self.limit, self.size = limit, 0
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self._making: dict[Hashable, Lock] = {}
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """What lies under `key`, else what `make` gives; what it raises is raised, and nothing is kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            turn = self._making.setdefault(key, Lock())
        with turn:
            with self._lock:
                if key in self._kept:  # made by the thread before this one
                    return self._kept[key]
            try:
                made = make()
                self._keep(key, made)
                return made
            finally:
                with self._lock:
                    self._making.pop(key, None)

    def _keep(self, key: Hashable, made: bytes) -> None:
        with self._lock:
            self._kept[key] = made
            self.size += len(made)
            while self.size > self.limit and self._kept:
                _, dropped = self._kept.popitem(last=False)
                self.size -= len(dropped)
