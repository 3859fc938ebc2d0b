"""One frozen dataclass per page: everything a page says, as plain data, with no address, markup or file in it.

`web.pages` fills them from an atlas and renders them; the static report and a server show the same ones.
Positions are (row, column) from 0; boxes are in pixels of the network's input.
"""

from dataclasses import dataclass

from convscope.models.network import Layer
from convscope.web.contexts.experiments import ChartPage, ExperimentPage, Inquiry, Laboratory, Mention, StepPage, Trial

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
    concept: str | None = None  # that it matches, where that has been looked into

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
    trials: tuple[Trial, ...] = ()  # experiments that were run


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
    def strongest(self) -> float:
        """The largest activation in the layer."""
        return max((tile.maximum for tile in self.tiles), default=0.0)

    @property
    def concepts(self) -> tuple[str, ...]:
        """The concepts that maps match, in order of their names."""
        return tuple(sorted({tile.concept for tile in self.tiles if tile.concept}))

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
    """A related map: `degree` is a correlation for similar maps, a number of shared patches across layers."""

    tile: Tile
    degree: float


@dataclass(frozen=True)
class Neighbour:
    """The layer before or after, and its map that is most often among the strongest on the same patches."""

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
    mentions: tuple[Mention, ...] = ()  # results of experiments about it
    inquiries: tuple[Inquiry, ...] = ()  # what can be asked about it

    @property
    def concept(self) -> str | None:
        """What an experiment says it detects."""
        return next((mention.concept for mention in self.mentions if mention.concept), None)

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
class Library:
    """Some of the pictures in the atlas to choose from, and those that the reader brought."""

    network: str
    pictures: tuple[tuple[int, str, str], ...]  # number, file type, label or path
    total: int  # of this label
    labels: tuple[str, ...]
    label: str | None  # the one chosen
    page: int  # from 0
    pages: int
    brought: tuple[tuple[str, str], ...]  # key, name
    reason: str  # why no picture can be put under the lens; empty where it can


@dataclass(frozen=True)
class Chance:
    """A class and its probability, with a part of the picture hidden and (`whole`) without."""

    name: str
    probability: float
    whole: float


@dataclass(frozen=True)
class Hit:
    """A map and its largest value in a picture, with the place; `value` is None where only the atlas speaks."""

    tile: Tile
    value: float | None
    row: int = 0
    column: int = 0

    @property
    def share(self) -> float:
        """Of the largest value in the data set."""
        return self.value / self.tile.maximum if self.value is not None and self.tile.maximum > 0 else 0.0


@dataclass(frozen=True)
class Rank:
    """The maps of a layer that a picture excites most."""

    layer: Layer
    sheet: Sprite
    hits: tuple[Hit, ...]


@dataclass(frozen=True)
class Chosen:
    """The unit under the lens. `value` is the whole picture's; `peak` and `total` are those of its map with a part
    hidden and (`whole_peak`, `whole_total`) without; `tile` is the size of its patch, `box` its edges in the picture.
    """

    layer: Layer
    channel: int
    row: int
    column: int
    value: float
    box: tuple[int, int, int, int]
    tile: Pair
    peak: float
    total: float
    whole_peak: float
    whole_total: float
    maximum: float  # in the data set

    @property
    def name(self) -> str:
        """The map as convscope spells it."""
        return f"{self.layer.name}:{self.channel}"


@dataclass(frozen=True)
class PicturePage:
    """One picture: what the network makes of it, and one unit of it under the lens."""

    network: str
    input_size: tuple[int, int, int]
    key: str
    name: str
    label: str | None
    source: tuple[int, str] | None  # number and file type of one of the atlas' pictures
    notes: tuple[str, ...]
    reason: str  # why there is no lens; empty where there is
    chances: tuple[Chance, ...]  # the likeliest, with a part hidden
    ranks: tuple[Rank, ...]
    unit: Chosen | None
    square: tuple[int, int, int] | None  # top, left, side of what is hidden
    side: int  # of a square that is not there yet
    inquiries: tuple[Inquiry, ...] = ()  # what can be asked about it


@dataclass(frozen=True)
class Trouble:
    """What could not be shown, and why, in one line."""

    network: str
    status: int  # of HTTP
    line: str


Page = (
    Overview
    | LayerPage
    | FeatureMap
    | Glossary
    | Library
    | PicturePage
    | Laboratory
    | ExperimentPage
    | StepPage
    | ChartPage
    | Trouble
)
