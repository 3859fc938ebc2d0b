import os
from pathlib import Path

import pytest

from convscope.disk.paths import leads_out, utf8_path


def test_a_file_whose_name_is_no_utf8_has_a_path_that_is(tmp_path: Path) -> None:
    for name in (b"caf\xe9", "café".encode()):
        file = tmp_path / os.fsdecode(name)
        file.write_bytes(name)
        with utf8_path(file) as spelled:
            spelled.encode()
            assert Path(spelled).read_bytes() == name
    with pytest.raises(FileNotFoundError), utf8_path(tmp_path / os.fsdecode(b"\xff")):
        pass


def test_links_out_are_known_however_they_leave(tmp_path: Path) -> None:
    folder, outside = tmp_path / "atlas", tmp_path / "outside"
    (folder / "deep").mkdir(parents=True)
    outside.mkdir()
    (outside / "file").write_text("")
    (folder / "file").write_text("")
    (folder / "direct").symlink_to(outside / "file")
    (folder / "relative").symlink_to("../outside/file")
    (folder / "chain").symlink_to("direct")
    (folder / "folder").symlink_to(outside)
    (folder / "gone").symlink_to("/nowhere/at/all")
    (folder / "sibling").symlink_to(tmp_path / "atlas-of-another")  # its name begins as the folder's
    (folder / "inside").symlink_to("file")
    (folder / "deep" / "up").symlink_to("../file")
    for name in ("direct", "relative", "chain", "folder/file", "gone", "sibling", "../outside/file"):
        assert leads_out(folder, folder / name), name
    for name in ("file", "inside", "deep/up", "nothing", ""):
        assert not leads_out(folder, folder / name), name
    (tmp_path / "elsewhere").symlink_to(folder)
    assert not leads_out(tmp_path / "elsewhere", tmp_path / "elsewhere" / "inside")
