"""One frozen dataclass per page: everything a page says, as plain data, with no address, markup or file in it.

`pages.py` fills them from an atlas and renders them; the static report and a server show the same ones.
Positions are (row, column) from 0; boxes are in pixels of the network's input.
"""

from dataclasses import dataclass

from convscope.models.network import Layer

Pair = tuple[int, int]  # (rows, columns), as all sizes here

RARE = 0.01  # a map that fires, but in under this share of the pictures, is called rare


@dataclass(frozen=True)
class Sprite:
    """The geometry of one picture that holds `rows` x `columns` equal tiles."""

    height: int  # of one tile, pixels
    width: int
    rows: int
    columns: int

    PNG_SIDE = 32  # tiles up to here stay lossless: they are shown enlarged, where artefacts would show

    @property
    def pitch(self) -> Pair:
        """From one tile to the next: a whole number of JPEG's 8-pixel blocks, so tiles do not bleed."""
        return -(-self.height // 8) * 8, -(-self.width // 8) * 8

    @property
    def size(self) -> Pair:
        """Height and width of the whole picture."""
        return self.rows * self.pitch[0], self.columns * self.pitch[1]

    @property
    def suffix(self) -> str:
        """The file type that serves such tiles best."""
        return "png" if max(self.height, self.width) <= self.PNG_SIDE else "jpg"

    def origin(self, row: int, column: int) -> Pair:
        """Top and left pixel of a tile."""
        return row * self.pitch[0], column * self.pitch[1]


@dataclass(frozen=True)
class Tile:
    """A feature map at a glance. `strength` and `rarity` are its places in those orders, dead maps last."""

    layer: str
    channel: int
    maximum: float
    fires: float  # share of the pictures in which it is above zero
    dead: bool
    strength: int
    rarity: int

    @property
    def rare(self) -> bool:
        """Fires, but hardly ever."""
        return not self.dead and self.fires < RARE


@dataclass(frozen=True)
class Stage:
    """A layer of the atlas in the diagram, with the layers between it and the one before."""

    layer: Layer
    between: tuple[Layer, ...]
    dead: int
    rare: int
    strongest: tuple[Tile, ...]  # in the order of the strip
    strip: Sprite


@dataclass(frozen=True)
class Overview:
    """The whole atlas: the network from input to classes, and how the atlas was made."""

    network: str
    input_size: tuple[int, int, int]  # channels, height, width
    classes: tuple[str, ...]
    parameters: int | None
    stages: tuple[Stage, ...]
    rest: tuple[Layer, ...]  # after the last layer of the atlas
    samples: tuple[tuple[int, str, str], ...]  # a few pictures: number, file type, label or path
    maps: int
    pictures: int
    data: str
    top: int
    made: tuple[tuple[str, str], ...]  # how the atlas was built: name, value
    skipped: tuple[tuple[str, str], ...]  # files left out: path, reason


@dataclass(frozen=True)
class LayerPage:
    """All feature maps of a layer, the strongest first."""

    network: str
    layer: Layer
    input_size: tuple[int, int, int]
    tiles: tuple[Tile, ...]
    sheet: Sprite  # projections in the left half of its columns, patches in the right; by channel
    layers: tuple[str, ...]  # all of the atlas, in the order of the network
    pictures: int

    @property
    def dead(self) -> int:
        """How many maps never fired."""
        return sum(tile.dead for tile in self.tiles)

    @property
    def rare(self) -> int:
        """How many fired in under 1 % of the pictures."""
        return sum(tile.rare for tile in self.tiles)


@dataclass(frozen=True)
class Excerpt:
    """One of a map's strongest pictures: where it fired and what it saw there."""

    rank: int
    value: float
    row: int
    column: int
    box: tuple[int, int, int, int]  # top, left, bottom, right in the input; may reach past its borders
    image: int
    suffix: str  # the file type of its thumbnail
    path: str
    label: str | None


@dataclass(frozen=True)
class Histogram:
    """How many pictures gave the map which strongest activation: equal bins from `low` to `high`."""

    counts: tuple[int, ...]
    low: float
    high: float


@dataclass(frozen=True)
class Peaks:
    """How often the map peaked where; large maps are pooled to at most 32 cells a side."""

    counts: tuple[tuple[int, ...], ...]  # rows of cells
    height: int  # of the map itself
    width: int


@dataclass(frozen=True)
class Kin:
    """A related map: `degree` is a correlation for similar maps, a number of shared pictures across layers."""

    tile: Tile
    degree: float


@dataclass(frozen=True)
class Neighbour:
    """The layer before or after, and its map with the most shared pictures."""

    layer: str
    sheet: Sprite
    kin: Kin | None


@dataclass(frozen=True)
class FeatureMap:
    """One feature map: what excites it most, and how it behaves over the data set."""

    network: str
    layer: Layer
    input_size: tuple[int, int, int]
    channel: int
    top: int  # how many excerpts the atlas keeps for a map that fires often enough
    excerpts: tuple[Excerpt, ...]
    plate: Sprite  # projections in the left half of its columns, patches in the right; by rank
    pictures: int
    mean: float
    maximum: float
    fires: float
    dead: bool
    place: int  # in the layer's order of strength, from 0
    histogram: Histogram | None
    peaks: Peaks | None
    labels: tuple[tuple[str, int], ...]  # of the excerpts, most frequent first
    similar: tuple[Kin, ...]
    sheet: Sprite  # where the tiles of `similar` are
    below: Neighbour | None
    above: Neighbour | None

    @property
    def rare(self) -> bool:
        """Fires, but hardly ever."""
        return not self.dead and self.fires < RARE

    @property
    def name(self) -> str:
        """The map as convscope spells it, `layer:channel`."""
        return f"{self.layer.name}:{self.channel}"


@dataclass(frozen=True)
class Glossary:
    """The words of these pages in plain language."""

    network: str
    top: int


@dataclass(frozen=True)
class Trouble:
    """What could not be shown, and why, in one line."""

    network: str
    status: int  # of HTTP
    line: str


Page = Overview | LayerPage | FeatureMap | Glossary | Trouble
