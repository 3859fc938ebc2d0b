"""`report`: an atlas as a static site that opens from the disk, with no server and no network.

    report("demo/atlas", "demo/report")       # open demo/report/index.html

One sprite a feature map, one sheet for 64 of them, one file a picture. Layers are written one after another and maps
in order, so memory stays flat and time linear. The site is written under `.convscope` in its folder and takes the place
of an earlier one, file by file, when it is complete.
"""

import json
from collections.abc import Iterator
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from convscope.atlases.store import Atlas, Channel, Entry, open_atlas
from convscope.disk.output_folder import Kind, Record, output_folder
from convscope.errors import ArgumentError
from convscope.progress import progress
from convscope.web.contexts.atlas import Glossary, Page
from convscope.web.contexts.experiments import Laboratory
from convscope.web.drawing.sprite_sheet import Pixels
from convscope.web.pages import atlas as atlas_pages
from convscope.web.pages import atlas_images
from convscope.web.pages.atlas import Survey
from convscope.web.pages.experiments import experiment_page
from convscope.web.urls import Urls

MARK = "report.json"  # in every complete report: what it is of
REPORT = Kind("a report")

STATIC = ("convscope.css", "convscope.js", "icon.svg")  # what pages need that are files


def report(atlas: Atlas | str | Path, out: str | Path) -> Path:
    """Write the atlas as a static site into the folder `out`; returns the path of its `index.html`.

    `out` may be missing, empty, or an earlier report, which is replaced as a whole; other files in it stay. The pages
    are METHODS F2's: for every feature map its strongest patches (V6) beside their projections (V5). The same atlas
    gives the same bytes.

    Raises AtlasError for a folder that is no atlas, ArgumentError when `out` holds anything but a report, or another
    process writes to it.
    """
    atlas = atlas if isinstance(atlas, Atlas) else open_atlas(atlas)
    _require_listed(Path(out))
    with output_folder(out, REPORT) as held, held.staging() as folder:
        survey = Survey.of(atlas)
        _write(folder, MARK, json.dumps(_mark(survey), indent=1) + "\n")
        _write_static(folder, *STATIC)
        for picture in atlas.pictures:
            _write(folder, Urls().picture(picture.image, survey.thumbnails), picture.encoded)
        _write_page(folder, survey, atlas_pages.overview(survey))
        _write_page(folder, survey, Glossary(survey.info.network, survey.info.top))
        _write_experiments(folder, survey)
        with progress(sum(len(layer.tiles) for layer in survey.layers.values()), "writing pages") as advance:
            for name in survey.layers:
                for _ in _write_layer(folder, survey, name):
                    advance(1)
        held.publish(folder, last=MARK)
    return held.path / Urls().overview()


def _write_layer(folder: Path, survey: Survey, name: str) -> Iterator[int]:
    """Write a layer's pages and sprites; yields each channel when it is done."""
    layer, urls = survey.layers[name], Urls()
    found: dict[int, tuple[Pixels, Pixels]] = {}
    for entry, channel in zip(survey.atlas.entries(name), survey.atlas.channels(name), strict=True):
        _write_map(folder, survey, entry, channel)
        if len(entry):
            found[entry.channel] = atlas_images.thumbs(layer, entry)
        if (entry.channel + 1) % atlas_pages.SHEET**2 == 0 or entry.channel + 1 == len(layer.tiles):
            number = entry.channel // atlas_pages.SHEET**2
            _write(folder, urls.sheet(name, number, layer.sheet.suffix), atlas_images.sheet(layer.sheet, found))
            found = {}
        yield entry.channel
    _write(folder, urls.strip(name, layer.strip.suffix), atlas_images.strip_of(survey.atlas, layer))
    _write_page(folder, survey, atlas_pages.layer_page(survey, name))


def _write_map(folder: Path, survey: Survey, entry: Entry, channel: Channel) -> None:
    """Write a map's page and plate."""
    layer = survey.layers[entry.layer]
    _write_page(folder, survey, atlas_pages.feature_map(survey, entry, channel))
    if len(entry):
        address = Urls().plate(entry.layer, entry.channel, layer.plate.suffix)
        _write(folder, address, atlas_images.plate(layer, entry))


def _write_experiments(folder: Path, survey: Survey) -> None:
    """Write the pages of the experiments that were run, and their files as they are."""
    notebook, network = survey.notebook, survey.info.network
    trials = notebook.trials()
    if not trials:
        return
    _write_static(folder, "experiments.css")
    _write_page(folder, survey, Laboratory(network, trials))
    for trial in trials:
        _write_page(folder, survey, experiment_page(survey, trial.name))
    contents = notebook.contents()
    for found in contents.findings:
        for name, _ in found.files:
            if file := notebook.file(found.key, name):
                _write(folder, Urls().result(found.key, name), file.read_bytes())
    for (layer, _), mentions in contents.mentions.items():
        for mention in mentions if layer in survey.layers else ():
            row = mention.picture
            if row is not None and (shown := notebook.picture(mention.finding.key, row)):
                _write(folder, Urls().shown(mention.finding.key, row), shown)


def _write_static(folder: Path, *names: str) -> None:
    for name in names:
        _write(folder, Urls().static(name), files("convscope.web").joinpath("static", name).read_bytes())


def _mark(survey: Survey) -> dict[str, object]:
    info = survey.info
    return {
        "report": 1,
        "convscope": version("convscope"),
        "network": info.network,
        "weights": info.weights,
        "data": info.data,
        "fingerprint": info.fingerprint,
    }


def _write_page(folder: Path, survey: Survey, page: Page) -> None:
    address = Urls().page(page)
    urls = Urls(root="../" * address.count("/"), experiments=bool(survey.notebook.contents().findings))
    _write(folder, address, atlas_pages.render(page, urls))


def _write(folder: Path, address: str, content: str | bytes) -> None:
    path = folder / address
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def _require_listed(out: Path) -> None:
    """Raise ArgumentError for a report without a record: which of the files in its folder are its own is not known."""
    try:
        unlisted = Record.read(out) is None and bool(json.loads((out / MARK).read_bytes())["report"])
    except (OSError, ValueError, TypeError, KeyError):
        unlisted = False
    if unlisted:
        line = "holds a report that was written before convscope listed its files; delete it, or choose another folder"
        raise ArgumentError("out", str(out), line)
