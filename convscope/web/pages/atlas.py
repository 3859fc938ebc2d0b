"""Pages: from an atlas to a context, and from a context to HTML.

    survey = Survey.of(open_atlas("out/atlas"))
    html = render(layer_page(survey, "relu5"), Urls("../../"))

Nothing here writes a file, and the same pages come out for the report and for a server.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.metadata import version

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from convscope.atlases.store import MANIFEST, TABLES, Atlas, Channel, Entry, Info, tile_size
from convscope.disk.paths import leads_out
from convscope.errors import AtlasError
from convscope.models.network import Layer
from convscope.printable import printable
from convscope.web.contexts.atlas import (
    Excerpt,
    FeatureMap,
    Glossary,
    Histogram,
    Kin,
    LayerPage,
    Library,
    Neighbour,
    Overview,
    Page,
    Peaks,
    PicturePage,
    Sprite,
    Stage,
    Tile,
    Trouble,
)
from convscope.web.contexts.experiments import TIERS, ChartPage, ExperimentPage, Laboratory, StepPage
from convscope.web.drawing.sprite_sheet import within
from convscope.web.drawing.svg_charts import FILTERS, count
from convscope.web.drawing.tile_svg import sheet_items, sheet_shot, shot
from convscope.web.results_index import FOLDER, Notebook
from convscope.web.urls import Urls

SHEET = 8  # tiles a side of a sheet: 64 maps to a file
STRIP = 10  # strongest maps of a layer on the overview
SAMPLES = 10  # pictures on the overview
PLATE_SIDE = 160  # pixels, at most, of the tiles on a map's own page
SHEET_SIDE = 96  # of the tiles of a layer
SMALL_SIDE = 72  # of those of a layer with more than MANY maps
MANY = 512

# `file:` beside 'self' for browsers that count every file on the disk as an origin of its own
POLICY = (
    "default-src 'none'; img-src 'self' file:; style-src 'self' file:; script-src 'self' file:; "
    "base-uri 'none'; form-action 'none'"
)
TEMPLATES: dict[type[Page], str] = {
    Overview: "overview.html",
    LayerPage: "layer.html",
    FeatureMap: "feature_map.html",
    Glossary: "glossary.html",
    Library: "library.html",
    PicturePage: "picture.html",
    Laboratory: "laboratory.html",
    ExperimentPage: "experiment.html",
    StepPage: "job.html",
    ChartPage: "chart.html",
    Trouble: "trouble.html",
}


@dataclass(frozen=True)
class LayerSurvey:
    """What all pages of a layer share: its maps at a glance, and which of them each picture excites, and where.

    `images` is sorted; `owners` are the channels that have them among their strongest, `boxes` (n, 4) the patches.
    """

    layer: Layer
    tiles: tuple[Tile, ...]  # by channel
    images: NDArray[np.int64]
    owners: NDArray[np.int64]
    boxes: NDArray[np.int64]
    plate: Sprite
    sheet: Sprite

    @property
    def strongest(self) -> tuple[Tile, ...]:
        """The maps in order of strength, dead ones last."""
        return tuple(sorted(self.tiles, key=lambda tile: tile.strength))

    @property
    def strip(self) -> Sprite:
        """The strongest maps on one picture: projections in the left half, patches in the right."""
        return Sprite(self.sheet.height, self.sheet.width, 1, 2 * STRIP)

    def shares(self, images: NDArray[np.int64], boxes: NDArray[np.int64]) -> Kin | None:
        """The map that has the most of these patches among its own strongest, the strongest of several; None for none.

        A patch (top, left, bottom, right) of a picture is the same where the centre of the smaller lies in the larger.
        """
        first, last = (np.searchsorted(self.images, images, side) for side in ("left", "right"))
        there = np.concatenate([np.arange(*ends) for ends in zip(first, last, strict=True)] or [np.arange(0)])
        same = _meet(np.repeat(boxes, last - first, axis=0), self.boxes[there])
        shared = np.bincount(self.owners[there[same]], minlength=len(self.tiles))
        if not shared.any():
            return None
        best = min(np.flatnonzero(shared == shared.max()), key=lambda channel: self.tiles[channel].strength)
        return Kin(self.tiles[best], int(shared[best]))


def _meet(boxes: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the centre of the smaller of two boxes lies in the larger: (n, 4), (n, 4) to (n,) bool."""
    corners = np.stack([boxes, others])  # (2, n, 4)
    area = np.prod(corners[..., 2:] - corners[..., :2], axis=-1)
    order = np.argsort(area, axis=0, kind="stable")[..., None]
    small, large = np.take_along_axis(corners, order, 0)
    centre = (small[:, :2] + small[:, 2:]) / 2
    return np.asarray(((centre >= large[:, :2]) & (centre <= large[:, 2:])).all(1))


@dataclass(frozen=True)
class Survey:
    """An atlas with what its pages share, read once: a few hundred bytes a map."""

    atlas: Atlas
    layers: Mapping[str, LayerSurvey]  # in the order of the network
    thumbnails: str  # the file type of the pictures
    notebook: Notebook  # what experiments found

    @classmethod
    def of(cls, atlas: Atlas, notebook: Notebook | None = None) -> "Survey":
        """Read every layer's statistics, and no tile; the experiments as they are now, or what `notebook` holds.

        Raises AtlasError where a file of the atlas is a link out of its folder: it may be somebody else's.
        """
        for file in (MANIFEST, *TABLES):
            if leads_out(atlas.path, atlas.path / file):
                raise AtlasError(
                    f"{atlas.path / file} is a link out of the atlas, which is not followed; copy the file"
                )
        layers = {name: _survey(atlas, name) for name in atlas.layers}
        first = next(atlas.pictures, None)
        notebook = notebook or Notebook(atlas.path / FOLDER, again=math.inf)
        return cls(atlas, layers, suffix(first.encoded) if first else "jpg", notebook)

    @property
    def info(self) -> Info:
        """What the atlas is of and how it was made."""
        return self.atlas.info

    @cached_property
    def pictures(self) -> list[tuple[int, str, str | None]]:
        """Number, path and label of every picture that is among the strongest of some map."""
        columns = self.atlas.columns("pictures", ["image", "path", "label"])
        return [*zip(*(column.tolist() for column in columns.values()), strict=True)]


def _survey(atlas: Atlas, name: str) -> LayerSurvey:
    layer = replace(atlas.info.layer(name), name=name)  # as the atlas calls it
    columns = atlas.columns("channels", ["channel", "maximum", "fires", "dead"], name)
    maps = [*zip(*(column.tolist() for column in columns.values()), strict=True)]
    strength = _places((dead, -maximum, channel) for channel, maximum, _, dead in maps)
    rarity = _places((dead, fires, channel) for channel, _, fires, dead in maps)
    tiles = tuple(Tile(name, c, maximum, fires, dead, strength[c], rarity[c]) for c, maximum, fires, dead in maps)
    edges = ["top", "left", "bottom", "right"]
    table = atlas.columns("top", ["channel", "image", *edges], name)
    boxes = np.stack([table[edge].astype(np.int64) for edge in edges], 1)
    images, owners = table["image"], table["channel"].astype(np.int64)
    order = np.argsort(images, kind="stable")
    size, side = tile_size(layer, atlas.info.input_size), SHEET_SIDE if len(tiles) <= MANY else SMALL_SIDE
    rows = next(n for n in range(1, atlas.info.top + 1) if n * n >= atlas.info.top)
    plate = Sprite(*within(*size, PLATE_SIDE), rows, 2 * rows)
    sheet = Sprite(*within(*size, side), SHEET, 2 * SHEET)
    return LayerSurvey(layer, tiles, images[order], owners[order], boxes[order], plate, sheet)


def _places(keys: Iterable[tuple[bool, float, int]]) -> dict[int, int]:
    """Each channel's place in the order of the keys, which end in it."""
    return {key[-1]: place for place, key in enumerate(sorted(keys))}


def suffix(encoded: bytes) -> str:
    """The file type of an encoded picture."""
    return "png" if encoded.startswith(b"\x89PNG") else "jpg"


def overview(survey: Survey) -> Overview:
    """The first page."""
    info = survey.info
    between, rest = _between(info)
    return Overview(
        network=info.network,
        input_size=info.input_size,
        classes=info.classes or (),
        parameters=info.parameters,
        stages=tuple(_stage(layer, between[name]) for name, layer in survey.layers.items()),
        rest=rest,
        samples=_samples(survey),
        maps=sum(len(layer.tiles) for layer in survey.layers.values()),
        pictures=_seen(info),
        data=info.data,
        top=info.top,
        made=_made(info),
        skipped=tuple((skipped.path, skipped.reason) for skipped in info.skipped),
        trials=survey.notebook.trials(),
    )


def _seen(info: Info) -> int:
    """The pictures that could be read."""
    return info.pictures - len(info.skipped)


def _stage(survey: LayerSurvey, between: tuple[Layer, ...]) -> Stage:
    return Stage(
        layer=survey.layer,
        between=between,
        dead=sum(tile.dead for tile in survey.tiles),
        rare=sum(tile.rare for tile in survey.tiles),
        strongest=tuple(tile for tile in survey.strongest[:STRIP] if not tile.dead),
        strip=survey.strip,
    )


def _between(info: Info) -> tuple[dict[str, tuple[Layer, ...]], tuple[Layer, ...]]:
    """The layers before each of the atlas' and after the last; modules that hold others are left out."""
    own = {info.layer(name).name: name for name in info.layers}
    holders = {name[:dot] for name in (layer.name for layer in info.table) for dot in _dots(name)}
    found: dict[str, tuple[Layer, ...]] = {}
    since: list[Layer] = []
    for layer in info.table:
        if layer.name in own:
            found[own[layer.name]] = tuple(since)
            since = []
        elif layer.name not in holders:
            since.append(layer)
    return found, tuple(since)


def _dots(name: str) -> list[int]:
    return [place for place, letter in enumerate(name) if letter == "."]


def _samples(survey: Survey) -> tuple[tuple[int, str, str], ...]:
    """A few of the pictures in the atlas, evenly spread."""
    images = np.unique(np.concatenate([layer.images for layer in survey.layers.values()]))
    chosen = images[np.unique(np.linspace(0, len(images) - 1, SAMPLES).round().astype(int))] if len(images) else []
    pictures = [survey.atlas.picture(int(image)) for image in chosen]
    return tuple((picture.image, survey.thumbnails, picture.label or picture.path) for picture in pictures)


def _made(info: Info) -> tuple[tuple[str, str], ...]:
    """How the atlas was built, in words."""
    source = "the activation" if info.start == "activation" else info.start
    return (
        ("Network", _public(info.spec) if info.spec else info.network),
        ("Parameters", count(info.parameters)),
        ("Weights, SHA-256", info.weights),
        ("Data set", info.data),
        ("Pictures", f"{count(_seen(info))} of {count(info.pictures)} read"),
        ("Data fingerprint", info.fingerprint),
        ("Scan", f"top {info.top} by {info.score}, in batches of {info.batch_size}"),
        ("Projection", f"{info.rule}, from {source}; contrast normalisation: {info.lrn}"),
        ("Device", f"{info.device}, {info.dtype or 'float32'}"),
        ("Versions", f"convscope {info.convscope}, torch {info.torch}"),
    )


def _public(spec: str) -> str:
    """A network's spelling without the folders of its file: a report may travel."""
    scheme = re.match(r"py:|[a-z]{2,}:[^@]*@?", spec)  # after it, a path may stand
    path = spec[scheme.end() :] if scheme else spec
    return spec.removesuffix(path) + re.split(r"[/\\]", path)[-1]


def layer_page(survey: Survey, name: str) -> LayerPage:
    """All feature maps of a layer."""
    layer, info = survey.layers[name], survey.info
    return LayerPage(
        network=info.network,
        layer=layer.layer,
        input_size=info.input_size,
        tiles=tuple(named(survey, tile) for tile in layer.strongest),
        sheet=layer.sheet,
        layers=tuple(survey.layers),
        pictures=_seen(info),
    )


def named(survey: Survey, tile: Tile) -> Tile:
    """The tile with the concept that an experiment says the map detects, if one does."""
    about = survey.notebook.about(tile.layer, tile.channel)
    concept = next((found.concept for found in about if found.concept), None)
    return replace(tile, concept=concept) if concept else tile


def feature_map(survey: Survey, entry: Entry, channel: Channel) -> FeatureMap:
    """One feature map, from its strongest pictures, its statistics, and what experiments found about it."""
    info, layer = survey.info, survey.layers[entry.layer]
    labels = Counter(label for label in entry.labels if label is not None)
    peaks = Peaks(tuple(map(tuple, channel.peaks.tolist())), layer.layer.height, layer.layer.width)
    return FeatureMap(
        network=info.network,
        layer=layer.layer,
        input_size=info.input_size,
        channel=entry.channel,
        top=info.top,
        excerpts=tuple(_excerpts(entry, survey.thumbnails)),
        plate=layer.plate,
        pictures=_seen(info),
        mean=channel.mean,
        maximum=channel.maximum,
        fires=channel.fires,
        dead=channel.dead,
        place=layer.tiles[entry.channel].strength,
        histogram=None if channel.dead else _histogram(channel),
        peaks=peaks if channel.peaks.size > 1 and channel.peaks.any() else None,
        labels=tuple(labels.most_common()),
        similar=tuple(Kin(layer.tiles[other], r) for other, r in channel.similar if r > 0),
        sheet=layer.sheet,
        below=_neighbour(survey, entry, -1),
        above=_neighbour(survey, entry, 1),
        mentions=survey.notebook.about(entry.layer, entry.channel),
    )


def _histogram(channel: Channel) -> Histogram:
    """The channel's, from its first bin with a picture in it to the last."""
    filled = np.flatnonzero(channel.histogram)
    first, last = int(filled[0]), int(filled[-1]) + 1
    width = (channel.high - channel.low) / len(channel.histogram)
    counts = tuple(channel.histogram[first:last].tolist())
    return Histogram(counts, channel.low + first * width, channel.low + last * width)


def _excerpts(entry: Entry, suffix: str) -> Iterable[Excerpt]:
    rows = zip(entry.values, entry.positions, entry.boxes, entry.images, entry.paths, entry.labels, strict=True)
    for rank, (value, (row, column), box, image, path, label) in enumerate(rows):
        top, left, bottom, right = (int(side) for side in box)
        place = (top, left, bottom, right)
        yield Excerpt(rank, float(value), int(row), int(column), place, int(image), suffix, path, label)


def _neighbour(survey: Survey, entry: Entry, step: int) -> Neighbour | None:
    names = list(survey.layers)
    place = names.index(entry.layer) + step
    if not 0 <= place < len(names):
        return None
    layer = survey.layers[names[place]]
    return Neighbour(names[place], layer.sheet, layer.shares(entry.images, entry.boxes))


def render(page: Page, urls: Urls, part: str | None = None) -> str:
    """The page as HTML, everything in it escaped; or only a part of it, the template of that name."""
    return _environment().get_template(part or TEMPLATES[type(page)]).render(page=page, urls=urls)


def compiled() -> None:
    """Compile every template, which takes some tenths of a second in all."""
    for name in _environment().list_templates():
        _environment().get_template(name)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("convscope.web"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {**FILTERS, "parameters": parameters, "field": field}
    environment.globals |= {"version": version("convscope"), "policy": POLICY, "tiers": TIERS}
    environment.globals |= {"shot": shot, "sheet_shot": sheet_shot, "sheet_items": sheet_items}
    return environment


def _visible(value: object) -> object:
    """A value of a page, its text without characters that act instead of being seen."""
    return printable(value, lines=True) if type(value) is str else value


def field(layer: Layer) -> tuple[int, int] | None:
    """Height and width of what a unit sees, in pixels of the input; None: the whole picture."""
    if layer.receptive_field is None:
        return None
    top, left, bottom, right = layer.receptive_field.box(0, 0)
    return bottom - top, right - left


def parameters(stage: Stage) -> int:
    """Of a stage: its layer and those between, a module that is called again counted once."""
    steps = {step.name.partition("#")[0]: step.parameters for step in (*stage.between, stage.layer)}
    return sum(steps.values())
