"""The web app: `view`'s pages over one atlas. Every page is a context of `contexts.py`, as in the report.

    app(open_atlas("out/atlas"), load("zfnet128"))

Each `routes_*.py` has a `router(...)` for its part of the addresses; this file only puts them together.
"""

import hashlib
import shutil
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from importlib.resources import files
from pathlib import Path
from threading import Thread

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response

from convscope.atlases.store import MANIFEST, Atlas
from convscope.errors import ArgumentError, AtlasError, ConvscopeError
from convscope.models.network import Network
from convscope.web import routes_atlas, routes_experiments, routes_picture
from convscope.web.contexts import Trouble
from convscope.web.forms import RESULTS, Desk
from convscope.web.guard import LOOPBACK, Guard
from convscope.web.jobs import Jobs
from convscope.web.live import Lens
from convscope.web.notebook import FOLDER, Notebook
from convscope.web.pages import Survey
from convscope.web.pages_experiments import inquiries
from convscope.web.shelf import Shelf
from convscope.web.slides import Slides, passing_folder
from convscope.web.urls import Urls

MEMORY = 256 * 2**20  # bytes of finished pages and pictures

STATUS: list[tuple[type[ConvscopeError], int]] = [  # the first that fits
    (ArgumentError, 404),  # addresses name layers, units and pictures
    (AtlasError, 503),  # the folder has changed under us
    (ConvscopeError, 422),
]


def app(
    atlas: Atlas,
    network: Network | None = None,
    *,
    reason: str = "no network was given",
    hosts: Collection[str] | None = LOOPBACK,
    token: str | None = None,
) -> FastAPI:
    """The app over `atlas`; with its `network`, pictures can be put under the lens, without it `reason` says why not.

    `hosts` are the names it answers to (None: any); with a `token` every reader has to show it.
    """
    passing = passing_folder()
    survey = Survey.of(atlas, Notebook(atlas.path / FOLDER, passing / RESULTS))
    urls = Urls("/", files=False, stamp=_stamp(atlas), experiments=True)
    slides = Slides(atlas, network, passing) if network else None
    lens = Lens(network, atlas.info) if network else None
    jobs, desk = Jobs(), Desk(survey, slides, "" if network else reason, passing)
    made = FastAPI(
        title="convscope", docs_url=None, redoc_url=None, openapi_url=None, lifespan=_life(slides, lens, jobs, passing)
    )
    made.include_router(routes_atlas.router(survey, urls, Shelf(MEMORY), not desk.reason))
    made.include_router(routes_picture.router(survey, urls, slides, lens, "" if network else reason, not desk.reason))
    made.include_router(routes_experiments.router(survey, urls, desk, jobs))
    _explain(made, survey, urls)
    made.add_middleware(Guard, hosts=hosts, token=token)
    return made


def _life(
    slides: Slides | None, lens: Lens | None, jobs: Jobs, passing: Path
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """What happens at the server's start and at its end: the lens warms up; jobs end, what was brought is forgotten."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        if slides and lens:
            Thread(target=_warm, args=(slides, lens), daemon=True).start()
        yield
        jobs.close()
        shutil.rmtree(passing, ignore_errors=True)

    return life


def _warm(slides: Slides, lens: Lens) -> None:
    with suppress(ConvscopeError):  # a reader will see it on the page
        images = slides.atlas.columns("pictures", ["image"])["image"]
        if len(images):
            lens.warm(slides[str(images[0])])
        if lens.network.spec:
            inquiries("", "", "picture")  # imports the experiments, so that no reader waits for it


def _stamp(atlas: Atlas) -> str:
    """Eight letters that change with the atlas and with what the pages are made of; pictures' addresses carry them."""
    digest = hashlib.sha256((atlas.path / MANIFEST).read_bytes())
    for item in sorted(files("convscope.web").joinpath("static").iterdir(), key=lambda item: item.name):
        digest.update(item.read_bytes())
    return digest.hexdigest()[:8]


def _explain(made: FastAPI, survey: Survey, urls: Urls) -> None:
    """Every mistake and failure is a page with one clear line; the server lives on."""

    def trouble(status: int, line: str) -> Response:
        return routes_atlas.html(Trouble(survey.info.network, status, line), urls, status)

    @made.exception_handler(ConvscopeError)
    def expected(_: Request, error: ConvscopeError) -> Response:
        return trouble(next(status for kind, status in STATUS if isinstance(error, kind)), str(error))

    @made.exception_handler(RequestValidationError)
    def unreadable(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        status = 404 if request.method == "GET" else 422
        return trouble(status, f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}")

    @made.exception_handler(404)
    @made.exception_handler(HTTPException)
    def missing(_: Request, error: HTTPException) -> Response:
        return trouble(error.status_code, str(error.detail))

    @made.exception_handler(Exception)
    def unexpected(_: Request, error: Exception) -> Response:
        return trouble(500, f"{type(error).__name__}: {' '.join(str(error).split()) or 'no reason given'}")
