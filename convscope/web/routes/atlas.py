"""What the report has, from a server: the pages of an atlas and their pictures, made when asked for."""

from dataclasses import replace
from functools import partial
from importlib.resources import files
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from fastapi.responses import Response

from convscope.web.byte_cache import Shelf
from convscope.web.contexts.atlas import Glossary, Page
from convscope.web.pages import atlas as atlas_pages
from convscope.web.pages import atlas_images
from convscope.web.pages.atlas import LayerSurvey, Survey
from convscope.web.pages.experiments import inquiries
from convscope.web.urls import Urls, slug

KINDS = {"png": "image/png", "jpg": "image/jpeg", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
LASTING = {"Cache-Control": "private, max-age=31536000, immutable"}  # addresses carry the atlas' stamp

Number = Annotated[int, Path(ge=0, lt=2**31)]


def html(page: Page, urls: Urls, status: int = 200) -> Response:
    """A page, which a browser asks for anew each time: another atlas may be behind the address."""
    return _html(atlas_pages.render(page, urls).encode(), status)


def _html(body: bytes, status: int = 200) -> Response:
    return Response(body, status, {"Cache-Control": "no-cache"}, "text/html")


def file(body: bytes, suffix: str) -> Response:
    """A picture, script or style sheet."""
    return Response(body, headers=LASTING, media_type=KINDS[suffix])


def layer(survey: Survey, urls: Urls, shelf: Shelf, name: str) -> bytes:
    """The page of a layer, which is large where the layer is."""
    make = lambda: atlas_pages.render(atlas_pages.layer_page(survey, name), urls).encode()  # noqa: E731
    return shelf.get(("layer", name, survey.notebook.version), make)


def router(survey: Survey, urls: Urls, shelf: Shelf, runs: bool = False) -> APIRouter:
    """The routes of `survey`, at the addresses that `urls` spells; what was made lies on the `shelf`.

    With `runs`, experiments can be started.
    """
    routes = APIRouter()
    atlas, by_slug = survey.atlas, {slug(name): layer for name, layer in survey.layers.items()}
    static = {item.name: item.read_bytes() for item in files("convscope.web").joinpath("static").iterdir()}

    def found(layer: str) -> LayerSurvey:
        if layer not in by_slug:
            raise HTTPException(404, "no such layer in this atlas")
        return by_slug[layer]

    def known(layer: LayerSurvey, channel: int) -> str:
        if channel >= len(layer.tiles):
            raise HTTPException(404, f"{layer.layer.name} has channels 0 to {len(layer.tiles) - 1}")
        return layer.layer.name

    def expected(suffix: str, right: str) -> None:
        if suffix != right:
            raise HTTPException(404, "no such picture")

    def render(page: Page) -> bytes:
        return atlas_pages.render(page, urls).encode()

    def mapped(name: str, channel: int) -> bytes:
        page = atlas_pages.feature_map(survey, atlas[name, channel], atlas.channel(name, channel))
        strongest = str(page.excerpts[0].image) if page.excerpts else ""
        return render(replace(page, inquiries=inquiries(strongest, page.name, "unit") if runs and strongest else ()))

    @routes.get("/")
    def overview() -> Response:
        return _html(shelf.get(("overview", survey.notebook.version), lambda: render(atlas_pages.overview(survey))))

    @routes.get("/glossary")
    def glossary() -> Response:
        return html(Glossary(survey.info.network, survey.info.top), urls)

    @routes.get("/static/{name}")
    def static_file(name: str) -> Response:
        suffix = name.rpartition(".")[2]
        if name not in static or suffix not in KINDS:
            raise HTTPException(404, "no such file")
        return file(static[name], suffix)

    @routes.get("/layers/{name}/")
    def layer_page(name: str) -> Response:
        return _html(layer(survey, urls, shelf, found(name).layer.name))

    @routes.get("/layers/{layer}/strongest.{suffix}")
    def strip(layer: str, suffix: str) -> Response:
        there = found(layer)
        expected(suffix, there.strip.suffix)
        make = partial(atlas_images.strip_of, atlas, there)
        return file(shelf.get(("strip", there.layer.name), make), suffix)

    @routes.get("/layers/{layer}/sheet-{number}.{suffix}")
    def sheet(layer: str, number: Number, suffix: str) -> Response:
        there = found(layer)
        expected(suffix, there.sheet.suffix)
        name = known(there, number * atlas_pages.SHEET**2)
        return file(shelf.get(("sheet", name, number), partial(atlas_images.sheet_of, atlas, there, number)), suffix)

    @routes.get("/layers/{layer}/{channel}.{suffix}")
    def plate(layer: str, channel: Number, suffix: str) -> Response:
        there = found(layer)
        expected(suffix, there.plate.suffix)
        name = known(there, channel)
        if there.tiles[channel].dead:
            raise HTTPException(404, f"{name}:{channel} never fires: it has no pictures")
        make = lambda: atlas_images.plate(there, atlas[name, channel])  # noqa: E731
        return file(shelf.get(("plate", name, channel), make), suffix)

    @routes.get("/layers/{layer}/{channel}")
    def feature_map(layer: str, channel: Number) -> Response:
        name = known(found(layer), channel)
        return _html(shelf.get(("map", name, channel, survey.notebook.version), partial(mapped, name, channel)))

    @routes.get("/pictures/{thousand}/{image}.{suffix}")
    def picture(thousand: Number, image: Number, suffix: str) -> Response:
        if thousand != image // 1000 or suffix != survey.thumbnails:
            raise HTTPException(404, "no such picture")
        return file(shelf.get(("picture", image), lambda: atlas.picture(image).encoded), suffix)

    return routes
