"""The web app: `view`'s pages over one atlas. Every page is a context of `web.contexts`, as in the report.

    app(open_atlas("out/atlas"), load("zfnet128"))

Each file of `web.routes` has a `router(...)` for its part of the addresses; this file only puts them together.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from importlib.resources import files
from pathlib import Path
from threading import Thread

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from convscope.atlases.store import MANIFEST, Atlas
from convscope.disk.scratch_dirs import clear, release
from convscope.errors import ArgumentError, AtlasError, ConvscopeError
from convscope.failures import FULL, one_line
from convscope.models.network import Network
from convscope.web.byte_cache import Shelf
from convscope.web.contexts.atlas import Trouble
from convscope.web.forms import RESULTS, Desk
from convscope.web.jobs import PART, Jobs
from convscope.web.lens import Lens
from convscope.web.pages import atlas as atlas_pages
from convscope.web.pages.atlas import Survey
from convscope.web.pages.experiments import inquiries
from convscope.web.results_index import FOLDER, Notebook
from convscope.web.routes import atlas as atlas_routes
from convscope.web.routes import experiments as experiment_routes
from convscope.web.routes import picture as picture_routes
from convscope.web.security import LOOPBACK, Guard
from convscope.web.urls import Urls
from convscope.web.viewed_pictures import Slides, passing_folder

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
    offers: Sequence[str] = (),
) -> FastAPI:
    """The app over `atlas`; with its `network`, pictures can be put under the lens, without it `reason` says why not.

    `hosts` are the names it answers to (None: any); with a `token` every reader has to show it. `offers` are folders
    and data sets that forms may choose by name. Raises ArgumentError for one that is not there.
    """
    clear(atlas.path / FOLDER, f"{PART}*")
    passing = passing_folder()
    survey = Survey.of(atlas, Notebook(atlas.path / FOLDER, passing / RESULTS))
    urls = Urls("/", files=False, stamp=_stamp(atlas), experiments=True)
    slides = Slides(atlas, network, passing) if network else None
    lens = Lens(network, atlas.info) if network else None
    jobs, desk, shelf = Jobs(), Desk(survey, slides, "" if network else reason, passing, offers), Shelf(MEMORY)
    life = _life(partial(_warm, survey, urls, shelf, slides, lens), jobs, passing)
    made = FastAPI(title="convscope", docs_url=None, redoc_url=None, openapi_url=None, lifespan=life)
    made.include_router(atlas_routes.router(survey, urls, shelf, not desk.reason))
    made.include_router(picture_routes.router(survey, urls, slides, lens, "" if network else reason, not desk.reason))
    made.include_router(experiment_routes.router(survey, urls, desk, jobs))
    trouble = partial(_trouble, survey, urls)
    _explain(made, trouble)
    made.add_middleware(Guard, hosts=hosts, token=token, page=trouble)
    return made


def _life(
    warm: Callable[[], None], jobs: Jobs, passing: Path
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """What happens at the server's start and at its end: it warms up; jobs end, what was brought is forgotten."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        Thread(target=warm, name="warm", daemon=True).start()
        yield
        jobs.close()
        release(passing)

    return life


def _warm(survey: Survey, urls: Urls, shelf: Shelf, slides: Slides | None, lens: Lens | None) -> None:
    """Do early what is slow the first time: compile pages, draw layers, read what experiments take, ask the lens."""
    with suppress(ConvscopeError):  # a reader will see it on the page
        atlas_pages.compiled()
        for name in survey.layers:
            atlas_routes.layer(survey, urls, shelf, name)
        if slides and lens:
            if lens.network.spec:
                inquiries("", "", "picture")
            images = survey.atlas.columns("pictures", ["image"])["image"]
            if len(images):
                lens.warm(slides[str(images[0])])


def _stamp(atlas: Atlas) -> str:
    """Eight letters that change with the atlas and with what the pages are made of; pictures' addresses carry them."""
    digest = hashlib.sha256((atlas.path / MANIFEST).read_bytes())
    for item in sorted(files("convscope.web").joinpath("static").iterdir(), key=lambda item: item.name):
        digest.update(item.read_bytes())
    return digest.hexdigest()[:8]


def _trouble(survey: Survey, urls: Urls, status: int, line: str) -> Response:
    """A page that says in one line what could not be shown."""
    return atlas_routes.html(Trouble(survey.info.network, status, line), urls, status)


def _explain(made: FastAPI, trouble: Callable[[int, str], Response]) -> None:
    """Make every mistake a page with one clear line; `Guard` does so for failures that nobody foresaw."""

    @made.exception_handler(ConvscopeError)
    async def expected(_: Request, error: ConvscopeError) -> Response:
        return trouble(next(status for kind, status in STATUS if isinstance(error, kind)), str(error))

    @made.exception_handler(OSError)
    async def failing(_: Request, error: OSError) -> Response:
        return trouble(507 if error.errno in FULL else 500, one_line(error))

    @made.exception_handler(RequestValidationError)
    async def unreadable(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        status = 404 if request.method == "GET" else 422
        return trouble(status, f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}")

    @made.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        answer = trouble(error.status_code, str(error.detail))
        answer.headers.update(error.headers or {})  # such as Allow
        return answer
