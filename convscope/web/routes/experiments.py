"""Experiments: their forms, the jobs that run them, and what came out, with charts to look into it."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path as File
from typing import Annotated, Any
from urllib.parse import urlencode

import numpy as np
from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from starlette.datastructures import FormData, UploadFile

from convscope.disk.paths import leads_out
from convscope.disk.results import read, read_arrays
from convscope.errors import ConvscopeError
from convscope.failures import one_line
from convscope.runner import Experiment, experiment
from convscope.web.contexts.experiments import Finding
from convscope.web.forms import RESULTS, UPLOADS, Desk, answers, form, tokens
from convscope.web.jobs import Jobs
from convscope.web.pages.atlas import Survey
from convscope.web.pages.experiments import chart_page, experiment_page, laboratory, step_page
from convscope.web.results_index import ARRAY, FOLDER, table
from convscope.web.routes.atlas import file, html
from convscope.web.security import HEADERS
from convscope.web.urls import Urls, slug

ROWS = 20_000  # of a chart
SIDE = 512  # values a side of a heat map
LOOK = 0.15  # seconds between two looks at a job
STAY = 1.5  # seconds of one stream of events; the browser opens the next, and the server may end in between
PARTS = 2000  # files, and fields, of a form that are read at all: enough to show one with too many again

# plotly sets styles in its own elements and draws heat maps as data: pictures; nothing here evaluates text
CHART = HEADERS["Content-Security-Policy"].replace("style-src 'self'", "style-src 'self' 'unsafe-inline'").replace(
    "img-src 'self'", "img-src 'self' data:"
)  # fmt: skip

Number = Annotated[int, Path(ge=1, lt=2**31)]
Words = Annotated[str, Query(max_length=200)]
Name = Annotated[str, Path(pattern=r"^[a-z0-9_]{1,40}$")]


def router(survey: Survey, urls: Urls, desk: Desk, jobs: Jobs) -> APIRouter:
    """The routes of experiments on the atlas; what the `desk` offers is run by the `jobs`."""
    routes = APIRouter()
    notebook = survey.notebook
    kept, passing = survey.atlas.path / FOLDER, desk.folder / RESULTS
    places = [passing] if leads_out(survey.atlas.path, kept) else [kept, passing]

    def page(name: str, given: Mapping[str, list[str]], errors: Mapping[str, str], status: int = 200) -> Response:
        chosen = experiment(name)
        return html(experiment_page(survey, name, form(chosen, given, desk, errors), jobs.steps(name)), urls, status)

    def ask(name: str, given: Mapping[str, list[str]]) -> Response:
        chosen = experiment(name)
        values, errors = answers(chosen, given, desk)
        if desk.reason or errors:
            return page(name, given, errors, 422)
        try:
            desk.hold()
            number = jobs.submit(name, values, _words(chosen, given, desk), _places(chosen, given), given)
        except ConvscopeError as error:
            return page(name, given, {chosen.fields[-1].name: str(error)}, 429)
        return RedirectResponse(urls.job(number), 303)

    def _places(chosen: Experiment, given: Mapping[str, list[str]]) -> list[File]:
        """Where the result may lie: not beside the atlas when something that was brought went into it."""
        brought = any(
            field.kind == "file" or key.startswith("u")
            for field in chosen.fields
            if field.kind in ("picture", "pictures", "file")
            for key in tokens(field, True, given)
        )
        return [passing] if brought else places

    def found(key: str) -> Finding:
        for one in notebook.contents().findings:
            if slug(one.key) == key:
                return one
        raise HTTPException(404, "no such result; it may have gone with an earlier run of the app")

    def folder(key: str) -> File:
        return notebook.contents().folders[found(key).key]

    @routes.get("/experiments/")
    def index() -> Response:
        return html(laboratory(survey, jobs.steps()), urls)

    @routes.get("/experiments/{name}")
    def one(name: Name, request: Request) -> Response:
        return page(name, _lists(request.query_params.multi_items()), {})

    @routes.get("/experiments/{name}/command")
    def command(name: Name, request: Request) -> Response:
        given = _lists(request.query_params.multi_items())
        return Response(form(experiment(name), given, desk).command, media_type="text/plain")

    @routes.post("/experiments/{name}")
    async def run(name: Name, request: Request) -> Response:
        experiment(name)
        async with request.form(max_files=PARTS, max_fields=PARTS) as posted:
            given, errors = await run_in_threadpool(_brought, posted, desk)
        if errors:
            return await run_in_threadpool(page, name, given, errors, 422)
        return await run_in_threadpool(ask, name, given)

    @routes.get("/jobs/{number}")
    def job(number: Number) -> Response:
        step, made = jobs.step(number), jobs.folder(number)
        if step.state == "done" and made is not None:
            where = next((key for key, place in notebook.contents(now=True).folders.items() if place == made), None)
            page = urls.finding(step.experiment, where) if where is not None else urls.experiment(step.experiment)
            return RedirectResponse(page, 303)
        again = urlencode([(name, text) for name, texts in jobs.asked(number).items() for text in texts])
        return html(step_page(survey, step, again), urls)

    @routes.get("/jobs/{number}/events")
    def events(number: Number) -> Response:
        jobs.step(number)
        fresh = {"Cache-Control": "no-store"}
        return StreamingResponse(_told(jobs, number), media_type="text/event-stream", headers=fresh)

    @routes.post("/jobs/{number}/cancel")
    def cancel(number: Number) -> Response:
        jobs.cancel(number)
        return RedirectResponse(urls.job(number), 303)

    @routes.get("/results/{key}/chart")
    def chart(key: str) -> Response:
        place = notebook.file(found(key).key, "arrays.npz")
        arrays = read_arrays(place, limit=ARRAY) if place else {}
        shapes = tuple((name, array.shape) for name, array in arrays.items() if _drawable(array))
        shown = html(chart_page(survey, found(key), shapes), urls)
        shown.headers["Content-Security-Policy"] = CHART
        return shown

    @routes.get("/results/{key}/rows.json")
    def rows(key: str) -> Response:
        cells = table(read(folder(key)).rows, ROWS)
        return _json({**asdict(cells), "rows": cells.rows})

    @routes.get("/results/{key}/array.json")
    def array(key: str, name: Words, at: Words = "") -> Response:
        arrays = read_arrays(folder(key), [name], ARRAY)
        if name not in arrays or not _drawable(arrays[name]):
            raise HTTPException(404, "no such array in this result")
        return _json(_slice(arrays[name], at))

    @routes.get("/results/{key}/shown-{row}.png")
    def shown(key: str, row: Annotated[int, Path(ge=0, lt=2**31)]) -> Response:
        picture = notebook.picture(found(key).key, row)
        if picture is None:
            raise HTTPException(404, "no such picture in this result")
        return Response(picture, headers={"Cache-Control": "no-cache"}, media_type="image/png")

    @routes.get("/results/{key}/{name}")
    def result(key: str, name: str) -> Response:
        place = notebook.file(found(key).key, name)
        if place is None:
            raise HTTPException(404, "no such file in this result")
        return FileResponse(place, headers={"Cache-Control": "no-cache"})

    @routes.get("/plotly.js")
    def plotly() -> Response:
        return file(files("plotly").joinpath("package_data", "plotly.min.js").read_bytes(), "js")

    return routes


def _lists(items: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in items:
        found.setdefault(name, []).append(value)
    return found


def _brought(posted: FormData, desk: Desk) -> tuple[dict[str, list[str]], dict[str, str]]:
    """What a form says, files that came with it put where they stay: their keys are among the answers.

    Besides, for each parameter what is wrong with its files; of too many none is kept.
    """
    items = posted.multi_items()
    given = _lists((name, value) for name, value in items if isinstance(value, str))
    files = [(name, value) for name, value in items if isinstance(value, UploadFile) and value.size]
    if len(files) > UPLOADS:
        said = f"{len(files)} files came with the form: at most {UPLOADS} at once"
        return given, {name.partition(":")[2]: said for name, _ in files}
    errors: dict[str, str] = {}
    for name, value in files:
        kind, _, own = name.partition(":")
        bring = desk.slides.bring if kind == "picture" and desk.slides else desk.bring
        try:
            given.setdefault(own, []).append(bring(value.file, value.filename or ""))
        except (ConvscopeError, OSError) as error:
            errors[own] = one_line(error)
    return given, errors


def _words(chosen: Experiment, given: Mapping[str, list[str]], desk: Desk) -> str:
    """What a job is about, in a few words."""
    words = []
    for field in chosen.inputs:
        if field.positional and field.kind != "network":
            found = tokens(field, chosen.several(field), given)
            if field.kind in ("picture", "pictures"):
                found = [desk.spelled(key) for key in found]
            elif field.kind == "file":
                found = [desk.file(key).name for key in found]
            words += [*found[:3], *(["…"] if len(found) > 3 else [])]
    return ", ".join(words) or desk.survey.info.network


async def _told(jobs: Jobs, number: int) -> AsyncIterator[str]:
    """The state of a job as server-sent events: at once, and whenever it changes."""
    said, waited = None, 0.0
    while waited < STAY and not jobs.closed:
        step = await run_in_threadpool(jobs.step, number)
        if step != said:
            said = step
            yield f"retry: 300\ndata: {json.dumps({**asdict(step), 'over': step.over})}\n\n"
        if step.over:
            return
        await asyncio.sleep(LOOK)
        waited += LOOK


def _drawable(array: Any) -> bool:
    """Whether there are numbers in it that make a chart; the figure shows what are pictures already."""
    coloured = array.dtype == np.uint8 and array.ndim == 4 and array.shape[3] == 3
    return array.dtype.kind in "biuf" and array.ndim >= 1 and array.size > 0 and not coloured


def _slice(array: Any, at: str) -> dict[str, Any]:
    """The last two axes of an array at the given places of the others, thinned where they are long."""
    lead = array.shape[:-2]
    given = [int(word) if word.isdecimal() and len(word) < 10 else 0 for word in at.split(",")] if at else []
    places = [min(place, size - 1) for place, size in zip([*given, *[0] * len(lead)], lead, strict=False)]
    plane = np.atleast_2d(array[tuple(places)]).astype(np.float64)
    step = tuple(-(-size // SIDE) for size in plane.shape)
    thin = plane[:: step[0], :: step[1]]
    values = [[float(f"{value:.6g}") if np.isfinite(value) else None for value in row] for row in thin.tolist()]
    return {"z": values, "at": places, "step": step}


def _json(value: object) -> Response:
    return Response(json.dumps(value), media_type="application/json", headers={"Cache-Control": "no-cache"})
