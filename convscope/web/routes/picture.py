"""Pictures: the atlas' to choose from, one's own to bring, and one of them under the lens."""

import io
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response
from numpy.typing import NDArray
from PIL import Image
from pydantic import BeforeValidator, Field
from starlette.datastructures import UploadFile

from convscope.errors import ArgumentError
from convscope.web.contexts.atlas import Page
from convscope.web.lens import Lens, Pixels
from convscope.web.pages import atlas as atlas_pages
from convscope.web.pages.atlas import Survey
from convscope.web.pages.experiments import inquiries
from convscope.web.pages.picture import Question, library, picture_page, still_page
from convscope.web.routes.atlas import KINDS, html
from convscope.web.urls import Urls
from convscope.web.viewed_pictures import Slides

FIRM = {"Cache-Control": "private, max-age=300"}  # the same question has the same answer while the app runs
EDGE = 2**16  # no picture or map is larger

Key = Annotated[str, Path(pattern=r"^([0-9]{1,18}|u[0-9a-f]{16})$")]
EMPTY = BeforeValidator(lambda text: None if text == "" else text)  # a form sends what was left empty too
Number = Annotated[Annotated[int, Field(ge=0, le=EDGE)] | None, EMPTY, Query()]
Signed = Annotated[Annotated[int, Field(ge=-EDGE, le=EDGE)] | None, EMPTY, Query()]
Text = Annotated[Annotated[str, Field(max_length=500)] | None, EMPTY, Query()]
PAPER, ACCENT = np.array([0x1A, 0x1B, 0x1D]), np.array([0xFF, 0xB0, 0x8E])  # of the style sheet, darkest to brightest


def router(
    survey: Survey, urls: Urls, slides: Slides | None, lens: Lens | None, reason: str, runs: bool = False
) -> APIRouter:
    """The routes of pictures; without a `lens` those of the atlas are shown, and `reason` says why no more.

    With `runs`, experiments can be started.
    """
    routes = APIRouter()

    @routes.get("/pictures/")
    def choose(label: Text = None, page: Annotated[int, Query(ge=0, le=EDGE)] = 0) -> Response:
        return html(library(survey, label, page, slides, reason), urls)

    @routes.post("/pictures/")
    async def bring(request: Request) -> Response:
        async with request.form(max_files=1, max_fields=1) as posted:
            picture = posted.get("picture")
            if not isinstance(picture, UploadFile):
                raise HTTPException(422, "picture: expected a file")
            if slides is None:
                raise ArgumentError("picture", picture.filename, reason)
            key = await run_in_threadpool(slides.bring, picture.file, picture.filename or "")
        return RedirectResponse(urls.look(key), 303)

    @routes.get("/picture/{key}")
    def look(
        key: Key,
        layer: Text = None,
        channel: Number = None,
        row: Number = None,
        column: Number = None,
        top: Signed = None,
        left: Signed = None,
        side: Number = None,
        part: Literal["answer"] | None = None,
    ) -> Response:
        page: Page
        if slides is None or lens is None:
            page = still_page(survey, _image(key), reason)
        else:
            asked = Question(layer, channel, row, column, top, left, side)
            page = picture_page(survey, slides[key], lens, asked)
            if page.unit and runs:
                unit = f"{page.unit.name}@{page.unit.row},{page.unit.column}"
                page = replace(page, inquiries=inquiries(key, unit, "picture"))
        if part and lens is not None:
            return Response(atlas_pages.render(page, urls, f"_{part}.html"), headers=FIRM, media_type="text/html")
        return html(page, urls)

    if slides is None or lens is None:
        return routes

    @routes.get("/picture/{key}/seen.png")
    def seen(key: Key) -> Response:
        return _png(slides[key].shown)

    @routes.get("/picture/{key}/map.png")
    def feature_map(
        key: Key,
        layer: str,
        channel: Annotated[int, Query(ge=0, le=EDGE)],
        top: Signed = None,
        left: Signed = None,
        side: Number = None,
    ) -> Response:
        square = Question(top=top, left=left, side=side).square(0)
        slide = slides[key]
        found, whole = (lens.answer(slide, hidden, layer, channel).map for hidden in (square, None))
        return _png(_glow(found, float(whole.max())))

    @routes.get("/picture/{key}/{what}.png")
    def projection(
        key: Key,
        what: Literal["patch", "deconvnet", "guided", "gradient"],
        layer: str,
        channel: Annotated[int, Query(ge=0, le=EDGE)],
        row: Annotated[int, Query(ge=0, le=EDGE)],
        column: Annotated[int, Query(ge=0, le=EDGE)],
    ) -> Response:
        slide, unit = slides[key], (layer, channel, row, column)
        return _png(lens.patch(slide, *unit) if what == "patch" else lens.projection(slide, *unit, what))

    return routes


def _image(key: str) -> int:
    if key.startswith("u"):
        raise ArgumentError("picture", key, "no such picture in the atlas")
    return int(key)


def _glow(found: NDArray[np.float32], most: float) -> Pixels:
    """A map as a picture: from the page's dark at zero to bright at `most`."""
    share = np.clip(np.nan_to_num(found) / most, 0, 1)[..., None] if most > 0 else np.zeros((*found.shape, 1))
    return np.asarray(np.rint(PAPER + share * (ACCENT - PAPER)), np.uint8)


def _png(pixels: Pixels) -> Response:
    encoded = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(encoded, "PNG", compress_level=1)
    return Response(encoded.getvalue(), headers=FIRM, media_type=KINDS["png"])
