"""Feature maps as tiles: SVG windows onto sprites. One file, many tiles, no style attribute and no script.

In Python and not in a template, because a layer has thousands of them.
"""

from markupsafe import Markup, escape

from convscope.web.contexts.atlas import LayerPage, Sprite, Tile
from convscope.web.drawing.svg_charts import number, percent
from convscope.web.urls import Urls

NEVER = (
    '<svg class="shot never" viewBox="0 0 10 10" role="img" aria-label="Map {} never fires: nothing to show">'
    '<path d="M0 10 10 0"/></svg>'
)


def cell(sheet: Sprite, channel: int) -> tuple[int, int, int]:
    """Where a map's projection is among a layer's sheets: number of the sheet, row, column."""
    across = sheet.columns // 2  # the right half is for the patches
    number, place = divmod(channel, sheet.rows * across)
    return number, *divmod(place, across)


def shot(href: str, sprite: Sprite, row: int, column: int, label: str) -> Markup:
    """One tile of a sprite."""
    (height, width), (y, x) = sprite.size, sprite.origin(row, column)
    crisp, label = " crisp" if sprite.suffix == "png" else "", escape(label)
    return Markup(
        f'<svg class="shot{crisp}" viewBox="0 0 {sprite.width} {sprite.height}" role="img" aria-label="{label}">'
        f'<image href="{escape(href)}" x="{-x}" y="{-y}" width="{width}" height="{height}"/></svg>'
    )


def sheet_shot(urls: Urls, sheet: Sprite, tile: Tile) -> Markup:
    """A map's tile; its patch waits half a sheet to the right, for hover and focus."""
    if tile.dead:
        return Markup(NEVER.format(tile.channel))
    sheet_number, row, column = cell(sheet, tile.channel)
    href = urls.sheet(tile.layer, sheet_number, sheet.suffix)
    return shot(href, sheet, row, column, f"Strongest projection of map {tile.channel}")


def sheet_items(page: LayerPage, urls: Urls) -> Markup:
    """Every map of a layer as an item of its list, with what a script sorts and sifts it by."""
    most = page.strongest or 1.0
    return Markup("\n".join(_item(page.sheet, tile, most, urls) for tile in page.tiles))


def _item(sheet: Sprite, tile: Tile, most: float, urls: Urls) -> str:
    kind = ' class="dead"' if tile.dead else ' class="rare"' if tile.rare else ""
    shown = "dead"
    if not tile.dead:
        shown = f'<span class="maximum">{number(tile.maximum)}</span><span class="fires">{percent(tile.fires)}</span>'
    concept = escape(tile.concept or "")
    data, named = (f' data-concept="{concept}"', f'<span class="concept">{concept}</span>') if concept else ("", "")
    return (
        f'<li data-strength="{tile.strength}" data-rarity="{tile.rarity}" data-channel="{tile.channel}"'
        f' data-share="{tile.maximum / most:.3f}" data-fires="{tile.fires:.4f}"{data}{kind}>'
        f'<a class="tile" href="{urls.feature_map(tile.layer, tile.channel)}">{sheet_shot(urls, sheet, tile)}'
        f'<span class="number">{tile.channel}</span><span class="value">{shown}</span>{named}</a></li>'
    )
