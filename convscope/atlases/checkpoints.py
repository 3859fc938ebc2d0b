"""What a scan has finished, on disk: a file for each span of work units, merged along a fixed tree.

Killed between any two steps, a folder still holds every unit that was ever added to it, once or twice, and is read
right either way. A file that a disk or a copy has damaged is dropped, with a warning, and its units are missing again.
Knows tallies and files, and nothing of networks or pictures.
"""

import json
import warnings
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from convscope.atlases.channel_statistics import Tally, unkey
from convscope.disk.atomic import put
from convscope.disk.paths import utf8_path
from convscope.errors import DamagedError

CHECKSUMS = "checksums"  # (n, 2) int64: picture and checksum


@dataclass(frozen=True)
class Known:
    """What is known of a span of units: a tally a layer (none where no picture could be read), what was skipped, and
    the checksums of the pictures among the leaders.
    """

    tallies: dict[str, Tally]
    skipped: dict[int, str] = field(default_factory=dict)
    checksums: dict[int, int] = field(default_factory=dict)

    def merge(self, other: "Known") -> "Known":
        """Of both spans, `other` to the right."""
        skipped, checksums = self.skipped | other.skipped, self.checksums | other.checksums
        if not (self.tallies and other.tallies):
            return Known(self.tallies or other.tallies, skipped, checksums)
        both = {layer: tally.merge(other.tallies[layer]) for layer, tally in self.tallies.items()}
        return Known(both, skipped, leading(both, checksums))

    def data(self) -> bytes:
        """As a safetensors file."""
        tensors = {
            f"{layer}/{name}": tensor.contiguous()
            for layer, tally in self.tallies.items()
            for name, tensor in tally.tensors().items()
        }
        tensors[CHECKSUMS] = torch.tensor(sorted(self.checksums.items()), dtype=torch.int64)
        skipped = json.dumps(self.skipped)
        words = json.dumps({"skipped": skipped, "sum": _sum(tensors, skipped)})
        return save(tensors, {"words": words})  # in one piece: safetensors keeps several in no order

    @classmethod
    def read(cls, path: Path) -> "Known":
        """From a safetensors file. Raises DamagedError where it does not hold what was written, FileNotFoundError."""
        try:
            with utf8_path(path) as spelled, safe_open(spelled, "pt") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                words = json.loads(file.metadata()["words"])
            if words["sum"] != _sum(tensors, words["skipped"]):
                raise DamagedError(f"{path} is damaged: its checksum differs")
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DamagedError(f"{path} is damaged: {error}") from error
        return cls._of(tensors, json.loads(words["skipped"]))

    @classmethod
    def _of(cls, tensors: Mapping[str, Tensor], skipped: Mapping[str, str]) -> "Known":
        layers: dict[str, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            layer, slash, name = key.rpartition("/")
            if slash:
                layers.setdefault(layer, {})[name] = tensor
        tallies = {layer: Tally.read(own) for layer, own in layers.items()}
        reasons = {int(image): reason for image, reason in skipped.items()}
        return cls(tallies, reasons, dict(tensors[CHECKSUMS].tolist()))


def _sum(tensors: Mapping[str, Tensor], words: str) -> str:
    """A checksum of tensors with their names, and of words."""
    total = zlib.crc32(words.encode())
    for name in sorted(tensors):
        total = zlib.crc32(tensors[name].numpy().tobytes(), zlib.crc32(name.encode(), total))
    return f"{total:08x}"


def leading(tallies: Mapping[str, Tally], checksums: Mapping[int, int]) -> dict[int, int]:
    """The checksums of the pictures among the leaders, which are the only ones that are read again."""
    images = torch.cat([unkey(tally.leaders.keys)[1].flatten() for tally in tallies.values()])
    return {image: checksums[image] for image in torch.unique(images).tolist() if image in checksums}


class Spans:
    """Finished units of `count`, on disk as aligned spans of 1, 2, 4, ... of them, as the digits of a binary number.

    A span is always the merger of its two halves, so floating-point sums are taken along one fixed tree whatever the
    order in which units finish, and neither memory nor the number of files grows with the number of pictures (but for
    a logarithm).
    """

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count = folder, count
        for span in self._spans():
            self._drop_damaged(self._file(*span))
        spans = self._spans()
        for span in spans:  # halves that a kill left beside the whole
            if any(other != span and other[0] <= span[0] and span[1] <= other[1] for other in spans):
                self._file(*span).unlink(missing_ok=True)

    def _drop_damaged(self, file: Path) -> None:
        try:
            with suppress(FileNotFoundError):  # merged by another process
                Known.read(file)
        except DamagedError as error:
            warnings.warn(f"{error}; it is made anew", stacklevel=4)
            file.unlink(missing_ok=True)

    def missing(self, part: range) -> list[int]:
        """The units of `part` that are not finished."""
        done = {unit for first, last in self._spans() for unit in range(first, last)}
        return [unit for unit in part if unit not in done]

    def add(self, unit: int, known: Known, part: range) -> None:
        """Write down a unit, merged with the spans beside it as far as they lie in `part`, this process's own."""
        first, last, halves = unit, unit + 1, []
        while True:
            size = last - first
            left = first // size % 2 == 1
            beside = (first - size, first) if left else (last, last + size)
            inside = part.start <= beside[0] and beside[1] <= part.stop
            if not inside or not self._file(*beside).exists():
                break
            other = Known.read(self._file(*beside))
            known = other.merge(known) if left else known.merge(other)
            halves.append(beside)
            first, last = min(first, beside[0]), max(last, beside[1])
        data = known.data()
        put(self._file(first, last), data)
        for half in halves:
            self._file(*half).unlink(missing_ok=True)

    def total(self) -> Known:
        """All units, which must be finished."""
        known, first = Known({}), 0
        while first < self.count:
            size = 1 << (self.count - first).bit_length() - 1
            size = min(size, first & -first) if first else size
            known = known.merge(self._span(first, first + size))
            first += size
        return known

    def _span(self, first: int, last: int) -> Known:
        if self._file(first, last).exists():
            return Known.read(self._file(first, last))
        middle = (first + last) // 2
        return self._span(first, middle).merge(self._span(middle, last))

    def _spans(self) -> list[tuple[int, int]]:
        names = (file.stem.split("-") for file in self.folder.glob("units-*-*.safetensors"))
        return [(int(first), int(last)) for _, first, last in names]

    def _file(self, first: int, last: int) -> Path:
        return self.folder / f"units-{first:07d}-{last:07d}.safetensors"
