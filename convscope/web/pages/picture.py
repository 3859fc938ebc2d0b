"""Pages that only a server has: pictures to choose from, and one of them under the lens.

picture_page(survey, slide, lens, Question(layer="relu5", channel=42))

As in `pages.atlas`, contexts only; `pages.atlas.render` makes them HTML.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from convscope.atlases.store import tile_box
from convscope.web.contexts.atlas import Chance, Chosen, Hit, Library, PicturePage, Rank
from convscope.web.lens import Lens, Square
from convscope.web.pages.atlas import LayerSurvey, Survey
from convscope.web.viewed_pictures import Slide, Slides

SHELF = 96  # pictures to choose from at a time
LIKELIEST = 5  # classes shown
STRONGEST = 8  # maps of a layer shown
SIDE = 50 / 224  # of the picture's, a square's that hides a part (METHODS F7)


@dataclass(frozen=True)
class Question:
    """What is asked of a picture: a unit, and what to hide; what is None is for the page to choose."""

    layer: str | None = None
    channel: int | None = None
    row: int | None = None
    column: int | None = None
    top: int | None = None
    left: int | None = None
    side: int | None = None

    def square(self, usual: int) -> Square | None:
        """What to hide: nothing unless a corner is given."""
        if self.top is None or self.left is None:
            return None
        return Square(self.top, self.left, usual if self.side is None else self.side)


def library(survey: Survey, label: str | None, page: int, slides: Slides | None, reason: str) -> Library:
    """The pictures of the atlas, of one class or of all."""
    labels = sorted({name for _, _, name in survey.pictures if name is not None})
    chosen = [row for row in survey.pictures if label is None or row[2] == label]
    pages = max(1, -(-len(chosen) // SHELF))
    page = min(page, pages - 1)
    shown = chosen[page * SHELF : (page + 1) * SHELF]
    return Library(
        network=survey.info.network,
        pictures=tuple((image, survey.thumbnails, name or path) for image, path, name in shown),
        total=len(chosen),
        labels=tuple(labels),
        label=label,
        page=page,
        pages=pages,
        brought=slides.brought if slides else (),
        reason=reason,
    )


def still_page(survey: Survey, image: int, reason: str) -> PicturePage:
    """One of the atlas' pictures where there is no network: the maps that have it among their strongest."""
    picture = survey.atlas.picture(image)
    ranks = tuple(
        Rank(layer.layer, layer.sheet, hits) for layer in survey.layers.values() if (hits := _keepers(layer, image))
    )
    return replace(
        _blank(survey, str(image), reason),
        name=picture.path,
        label=picture.label,
        source=(image, survey.thumbnails),
        ranks=ranks,
    )


def _keepers(layer: LayerSurvey, image: int) -> tuple[Hit, ...]:
    owners = layer.owners[layer.images == image].tolist()
    tiles = sorted((layer.tiles[channel] for channel in owners), key=lambda tile: tile.strength)
    return tuple(Hit(tile, None) for tile in tiles[: 2 * STRONGEST])


def _blank(survey: Survey, key: str, reason: str = "") -> PicturePage:
    size = survey.info.input_size
    side = max(1, round(SIDE * min(size[1:])))
    return PicturePage(survey.info.network, size, key, "", None, None, (), reason, (), (), None, None, side)


def picture_page(survey: Survey, slide: Slide, lens: Lens, asked: Question) -> PicturePage:
    """A picture under the lens. Raises LayerError and UnitError for a unit that is none, NetworkError from the network.

    Without a unit the strongest map of the last layer is chosen; without a position, where it is largest.
    """
    blank = _blank(survey, slide.key)
    square, peaks = asked.square(blank.side), lens.reading(slide).peaks
    layer = asked.layer or [*peaks][-1]
    lens.check(layer, asked.channel or 0)
    values, places = peaks[layer]
    channel = int(values.argmax()) if asked.channel is None else asked.channel
    top, left = places[channel].tolist()
    row, column = (top if asked.row is None else asked.row), (left if asked.column is None else asked.column)
    lens.check(layer, channel, row, column)
    return replace(
        blank,
        name=slide.name,
        label=slide.label,
        source=None if slide.file else (int(slide.key), survey.thumbnails),
        notes=slide.notes,
        chances=_chances(survey, lens, slide, layer, channel, square),
        ranks=tuple(_rank(survey.layers[name], *found) for name, found in peaks.items()),
        unit=_chosen(survey, lens, slide, layer, channel, row, column, square),
        square=square,
    )


def _rank(layer: LayerSurvey, values: NDArray[np.float32], places: NDArray[np.int64]) -> Rank:
    order = np.argsort(-values, kind="stable")[:STRONGEST].tolist()
    hits = [Hit(layer.tiles[c], float(values[c]), *places[c].tolist()) for c in order if values[c] > 0]
    return Rank(layer.layer, layer.sheet, tuple(hits))


def _chances(
    survey: Survey, lens: Lens, slide: Slide, layer: str, channel: int, square: Square | None
) -> tuple[Chance, ...]:
    """The likeliest classes, among them the two that are likeliest with nothing hidden; always as many."""
    whole = lens.reading(slide).probabilities
    now = lens.answer(slide, square, layer, channel).probabilities
    if whole is None or now is None:
        return ()
    names = survey.info.classes or ()
    before, after = (np.argsort(-row, kind="stable")[:LIKELIEST].tolist() for row in (whole, now))
    kept = dict.fromkeys([*before[:2], *after])
    shown = sorted([*kept][:LIKELIEST], key=lambda k: (-now[k], k))
    return tuple(Chance(names[k] if k < len(names) else f"class {k}", float(now[k]), float(whole[k])) for k in shown)


def _chosen(
    survey: Survey, lens: Lens, slide: Slide, layer: str, channel: int, row: int, column: int, square: Square | None
) -> Chosen:
    whole, now = (lens.answer(slide, hidden, layer, channel).map for hidden in (None, square))
    there = survey.layers[layer].layer
    top, left, bottom, right = tile_box(there, survey.info.input_size, row, column)
    return Chosen(
        layer=there,
        channel=channel,
        row=row,
        column=column,
        value=float(whole[row, column]),
        box=(top, left, bottom, right),
        tile=(bottom - top, right - left),
        peak=float(now.max()),
        total=float(now.sum()),
        whole_peak=float(whole.max()),
        whole_total=float(whole.sum()),
        maximum=survey.layers[layer].tiles[channel].maximum,
    )
