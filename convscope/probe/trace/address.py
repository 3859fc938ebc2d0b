"""Units are values: `layer:channel@row,column`, 0-based, with layer names as `named_modules()` spells them.

`relu5:42` is channel 42 where its map is largest, `relu5:42@6,7` that one position, `relu5:42@*` the whole map.
`layer#k` is the k-th call of a module that is called more than once. Knows nothing of networks.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

from convscope.errors import ArgumentError, UnitError

Position = tuple[int, int] | Literal["*"] | None

_UNIT = re.compile(r"(?P<layer>[^:@]+):(?P<channel>\d+)(?:@(?:(?P<row>\d+),(?P<column>\d+)|(?P<all>\*)))?")


@dataclass(frozen=True)
class Unit:
    """A channel of a layer, at one position, over the whole map ("*"), or (None) where its map is largest."""

    layer: str
    channel: int
    position: Position = None

    def __str__(self) -> str:
        where = ",".join(map(str, self.position)) if isinstance(self.position, tuple) else self.position
        return f"{self.layer}:{self.channel}" + (f"@{where}" if where else "")

    def at(self, position: Position) -> "Unit":
        """The same channel at another position."""
        return replace(self, position=position)

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise UnitError unless a layer of output `shape` (N, C, H, W) or (N, C) has this unit."""
        channels, extent = shape[1], shape[2:]
        if self.channel >= channels:
            raise UnitError("unit", str(self), f"{self.layer} has channels 0 to {channels - 1}")
        if isinstance(self.position, tuple):
            bounds = extent if len(extent) == 2 else (1, 1)
            if self.position[0] >= bounds[0] or self.position[1] >= bounds[1]:
                raise UnitError("unit", str(self), f"the maps of {self.layer} are {bounds[0]} x {bounds[1]}")


def parse(unit: "str | Unit") -> Unit:
    """Read `layer:channel[@row,column|@*]`. Raises ArgumentError for anything else."""
    if isinstance(unit, Unit):
        return unit
    match = _UNIT.fullmatch(unit)
    if not match:
        raise ArgumentError("unit", unit, 'expected layer:channel, as "relu5:42", "relu5:42@6,7" or "relu5:42@*"')
    position: Position = "*" if match["all"] else None
    if match["row"] is not None:
        position = (int(match["row"]), int(match["column"]))
    return Unit(match["layer"], int(match["channel"]), position)
