"""The report on disk: every link resolves, every page is sound, nothing half-written stays."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

from convscope.atlases.store import Atlas, Entry
from convscope.disk.output_folder import HIDDEN
from convscope.errors import ArgumentError, AtlasError
from convscope.pictures import decode
from convscope.web.contexts.atlas import LayerPage
from convscope.web.drawing.tile_svg import cell
from convscope.web.pages import atlas as atlas_pages
from convscope.web.pages import atlas_images
from convscope.web.pages.atlas import Survey
from convscope.web.site import report
from tests.web.conftest import DEAD, ODD, RARE
from tests.web.reading import assert_sound, read


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and HIDDEN not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def survey(atlas: Atlas) -> Survey:
    return Survey.of(atlas)


def test_every_map_of_every_layer_has_its_page(site: Path) -> None:
    found = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    maps = {f"layers/relu{n}/{channel}.html" for n, size in ((1, 6), (2, 72)) for channel in range(size)}
    assert found == maps | {"index.html", "glossary.html", "layers/relu1/index.html", "layers/relu2/index.html"}


def test_every_page_is_sound_and_every_link_resolves(site: Path) -> None:
    reached = set()
    for file in site.rglob("*.html"):
        page = assert_sound(file.read_text(encoding="utf-8"))
        for _, attributes in page.elements:
            for name in ("href", "src"):
                if name not in attributes:
                    continue
                parts = urlsplit(attributes[name])
                target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
                assert target.is_file(), f"{file.relative_to(site)} leads to {attributes[name]}"
                reached.add(target)
                if parts.fragment:
                    there = read(target.read_text(encoding="utf-8"))
                    assert parts.fragment in {found["id"] for _, found in there.elements if "id" in found}
    assert {site / path for path in contents(site)} - reached == {site / "report.json"}


def test_names_of_files_and_classes_are_text(site: Path) -> None:
    html = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.html"))
    assert ODD not in html
    assert "&lt;script&gt;alert(1)&lt;script&gt; 100% #7 ?ü.png" in html
    assert "tiny&lt;&amp;&gt;" in html
    assert "dogs &amp; &lt;b&gt;" in html


def test_the_overview_tells_how_the_atlas_was_made(site: Path, atlas: Atlas) -> None:
    page = read((site / "index.html").read_text(encoding="utf-8"))
    assert "78 feature maps, found among 15 pictures" in page.text
    assert "15 of 16 read" in page.text
    assert atlas.info.fingerprint in page.text
    assert "1 file was left out" in page.text
    assert "cats/broken.png" in page.text
    assert "1 dead" in page.text
    assert "pool1 conv2" in page.text
    assert "a & b, c" in page.text


def test_maps_are_sorted_by_strength_and_rarity(survey: Survey) -> None:
    page = atlas_pages.layer_page(survey, "relu2")
    assert isinstance(page, LayerPage)
    live = [tile for tile in page.tiles if not tile.dead]
    assert [tile.maximum for tile in live] == sorted((tile.maximum for tile in live), reverse=True)
    assert [tile.strength for tile in page.tiles] == list(range(72))
    rarest = sorted(page.tiles, key=lambda tile: tile.rarity)
    assert [tile.fires for tile in rarest[:-1]] == sorted(tile.fires for tile in live)
    assert rarest[0].channel == RARE
    assert rarest[-1].channel == page.tiles[-1].channel == DEAD
    assert page.dead == 1


def test_a_page_agrees_with_the_atlas(survey: Survey, atlas: Atlas) -> None:
    entry, channel = atlas["relu2", 7], atlas.channel("relu2", 7)
    page = atlas_pages.feature_map(survey, entry, channel)
    assert [e.value for e in page.excerpts] == entry.values.tolist()
    assert [(e.row, e.column) for e in page.excerpts] == [tuple(place) for place in entry.positions.tolist()]
    assert [e.box for e in page.excerpts] == [tuple(box) for box in entry.boxes.tolist()]
    assert sum(number for _, number in page.labels) == len(entry)
    assert page.histogram is not None
    assert sum(page.histogram.counts) == page.pictures == 15
    assert page.histogram.counts[0] * page.histogram.counts[-1] > 0
    assert channel.low <= page.histogram.low <= channel.maximum <= page.histogram.high <= channel.high
    assert page.below is not None
    assert page.above is None
    assert page.below.layer == "relu1"
    kin = page.below.kin
    assert kin is not None
    shared = [patches_shared(entry, atlas["relu1", c]) for c in range(6)]
    assert kin.degree == max(shared) == shared[kin.tile.channel]


def patches_shared(large: Entry, small: Entry) -> int:
    """How many patches of the one, on the same picture, hold the centre of one of the other, smaller ones."""
    found = 0
    for image, (top, left, bottom, right) in zip(large.images.tolist(), large.boxes.tolist(), strict=True):
        centres = [
            ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
            for other, box in zip(small.images.tolist(), small.boxes.tolist(), strict=True)
            if other == image
        ]
        found += any(top <= y <= bottom and left <= x <= right for y, x in centres)
    return found


def test_tiles_on_sprites_are_the_atlas_tiles(site: Path, survey: Survey, atlas: Atlas) -> None:
    entry, sprite = atlas["relu2", 70], survey.layers["relu2"].plate
    plate = decode((site / f"layers/relu2/70.{sprite.suffix}").read_bytes())
    for column, tile in ((1, entry.projections[4]), (4, entry.patches[4])):
        top, left = sprite.origin(1, column)
        np.testing.assert_array_equal(plate[top : top + sprite.height, left : left + sprite.width], tile)
    sheet = decode((site / "layers/relu2/sheet-1.png").read_bytes())
    number, row, column = cell(survey.layers["relu2"].sheet, 70)
    assert number == 1
    top, left = survey.layers["relu2"].sheet.origin(row, column)
    np.testing.assert_array_equal(sheet[top : top + sprite.height, left : left + sprite.width], entry.projections[0])


def test_dead_and_rare_maps_have_pages(site: Path) -> None:
    dead = read((site / f"layers/relu2/{DEAD}.html").read_text(encoding="utf-8"))
    assert "This map is dead: it stayed at zero in all 15 pictures" in dead.text
    assert not (site / f"layers/relu2/{DEAD}.png").exists()
    rare = read((site / f"layers/relu2/{RARE}.html").read_text(encoding="utf-8"))
    assert "Only 1 picture makes it fire" in rare.text


def test_the_same_atlas_gives_the_same_bytes(site: Path, atlas: Atlas, tmp_path: Path) -> None:
    assert contents(report(atlas.path, tmp_path / "again").parent) == contents(site)


def test_an_earlier_report_is_replaced(atlas: Atlas, tmp_path: Path) -> None:
    index = report(atlas, tmp_path)
    before = contents(tmp_path)
    (tmp_path / "CNAME").write_text("a page of mine")
    (tmp_path / "layers" / "relu1" / "notes.txt").write_text("mine")
    assert report(atlas, str(tmp_path)) == index
    assert contents(tmp_path) == before | {"CNAME": b"a page of mine", "layers/relu1/notes.txt": b"mine"}
    index.write_text("edited", encoding="utf-8")
    with pytest.raises(ArgumentError, match=r"holds 'index\.html', .* which was changed since; move it away"):
        report(atlas, tmp_path)
    assert index.read_text(encoding="utf-8") == "edited"


def test_pages_that_an_atlas_no_longer_has_go(atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report(atlas, tmp_path)
    (tmp_path / "layers" / "relu2" / "notes.txt").write_text("mine")
    with monkeypatch.context() as patch:
        patch.setattr("convscope.web.site._write_layer", lambda *_: iter(()))
        report(atlas, tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("layers/**/*")] == [
        "layers/relu2", "layers/relu2/notes.txt"
    ]  # fmt: skip


def test_a_report_without_a_list_of_its_files_is_left_alone(atlas: Atlas, tmp_path: Path) -> None:
    report(atlas, tmp_path)
    shutil.rmtree(tmp_path / HIDDEN)
    before = contents(tmp_path)
    with pytest.raises(ArgumentError, match="before convscope listed its files; delete it, or choose another folder"):
        report(atlas, tmp_path)
    assert contents(tmp_path) == before


def test_what_is_no_report_is_left_alone(atlas: Atlas, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(ArgumentError, match=r"out is .*holds 'thesis.txt', but not a report of convscope"):
        report(atlas, tmp_path)
    with pytest.raises(ArgumentError, match=r"thesis\.txt.*expected a folder"):
        report(atlas, tmp_path / "thesis.txt")
    with pytest.raises(AtlasError, match="no atlas"):
        report(tmp_path, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_atlas_is_not_replaced_by_its_report(atlas: Atlas) -> None:
    before = contents(atlas.path)
    with pytest.raises(ArgumentError, match="holds an atlas; choose another folder for a report"):
        report(atlas, atlas.path)
    assert contents(atlas.path) == before


def test_a_report_that_fails_leaves_what_was_there(
    atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(report(atlas, tmp_path / "out").parent)

    def fail(*_: object) -> bytes:
        raise OSError("no space left on the disk")

    monkeypatch.setattr(atlas_images, "compose", fail)
    with pytest.raises(OSError, match="no space"):
        report(atlas, tmp_path / "out")
    with pytest.raises(OSError, match="no space"):
        report(atlas, tmp_path / "new")
    assert contents(tmp_path / "out") == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_mark_names_what_the_report_is_of(site: Path, atlas: Atlas) -> None:
    mark = json.loads((site / "report.json").read_text(encoding="utf-8"))
    assert mark["network"] == "tiny<&>"
    assert mark["weights"] == atlas.info.weights


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("zfnet128", "zfnet128"),
        ("timm:user/resnet18", "timm:user/resnet18"),
        ("/home/me/secret/model.safetensors", "model.safetensors"),
        ("torchvision:vgg16@/home/me/vgg.pth", "torchvision:vgg16@vgg.pth"),
        ("torchvision:vgg16@random", "torchvision:vgg16@random"),
        ("torchvision:vgg16@/home/me@work/vgg.pth", "torchvision:vgg16@vgg.pth"),
        ("/home/me@work/model.safetensors", "model.safetensors"),
        ("py:/home/me@work/model.py:Net", "py:model.py:Net"),
        ("py:package.module:build", "py:package.module:build"),
    ],
)
def test_a_report_does_not_tell_where_files_were(spec: str, shown: str) -> None:
    assert atlas_pages._public(spec) == shown


def test_layers_of_any_name_and_modules_that_hold_others(atlas: Atlas) -> None:
    conv1, relu1, *_ = atlas.info.table
    names = ["block.conv", "block.relu", "block", "relu#0", "relu#1", "head"]
    info = replace(atlas.info, table=tuple(replace(relu1, name=name) for name in names), layers=("block.relu", "relu"))
    between, rest = atlas_pages._between(info)
    assert {name: [layer.name for layer in found] for name, found in between.items()} == {
        "block.relu": ["block.conv"],
        "relu": ["relu#0"],
    }
    assert [layer.name for layer in rest] == ["head"]
    assert conv1.name == "conv1"
