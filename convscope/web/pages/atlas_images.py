"""The pictures that pages show, put together from an atlas: a map's plate, a sheet of 64 maps, a layer's strip.

    plate(survey.layers["relu5"], atlas["relu5", 42])       # bytes of a .png or .jpg, as `layer.plate.suffix` says

The report writes them to files, the server sends them when asked. Projections lie in the left half of the columns,
patches in the right.
"""

from collections.abc import Iterable, Mapping

from convscope.atlases.store import Atlas, Entry
from convscope.pictures import decode
from convscope.web.contexts.atlas import Pair, Sprite
from convscope.web.drawing.sprite_sheet import Pixels, compose, fit
from convscope.web.pages.atlas import SHEET, LayerSurvey

Thumbs = Mapping[int, tuple[Pixels, Pixels]]  # by place: strongest projection, its patch


def plate(layer: LayerSurvey, entry: Entry) -> bytes:
    """A map's projections and patches, by rank in rows."""
    half = layer.plate.columns // 2
    tiles = {
        (rank // half, rank % half + half * side): tile
        for side, kind in enumerate((entry.projections, entry.patches))
        for rank, tile in enumerate(kind)
    }
    return compose(layer.plate, tiles)


def thumbs(layer: LayerSurvey, entry: Entry) -> tuple[Pixels, Pixels]:
    """A map's strongest projection and its patch, at the size of the sheet's tiles; its other pictures stay encoded."""
    side = layer.sheet.height, layer.sheet.width
    first, seen = decode(entry.encoded_projections[0]), decode(entry.encoded_patches[0])
    return fit(first, *side), fit(seen, *side)


def sheet(sprite: Sprite, found: Thumbs) -> bytes:
    """Maps in rows by number, counted from the sheet's first."""
    half = sprite.columns // 2
    cells = sprite.rows * half
    tiles: dict[Pair, Pixels] = {}
    for number, pair in found.items():
        row, column = divmod(number % cells, half)
        for side, tile in enumerate(pair):
            tiles[row, column + half * side] = tile
    return compose(sprite, tiles)


def sheet_of(atlas: Atlas, layer: LayerSurvey, number: int) -> bytes:
    """The number-th 64 maps of a layer."""
    channels = range(number * SHEET**2, (number + 1) * SHEET**2)
    return sheet(layer.sheet, _thumbs(layer, atlas.entries(layer.layer.name, channels)))


def strip_of(atlas: Atlas, layer: LayerSurvey) -> bytes:
    """A layer's strongest maps, in order."""
    first = layer.strongest[: layer.strip.columns // 2]
    found = _thumbs(layer, (atlas[tile.layer, tile.channel] for tile in first if not tile.dead))
    places = {tile.channel: place for place, tile in enumerate(first)}
    return sheet(layer.strip, {places[channel]: pair for channel, pair in found.items()})


def _thumbs(layer: LayerSurvey, entries: Iterable[Entry]) -> dict[int, tuple[Pixels, Pixels]]:
    return {entry.channel: thumbs(layer, entry) for entry in entries if len(entry)}
