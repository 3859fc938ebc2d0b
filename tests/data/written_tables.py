"""Tables as people write them: encodings, separators, headers, spellings of paths; for every reader of tables."""

import os
import re
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

PATHS = ("a/000.png", "a/001.png", "größe/übung 1.png", "größe/x,y;z.png", "b/deep/er.png", "b/ space.png")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252", "mac_roman", "cp850")
LETTERS = st.characters(codec="latin-1", exclude_categories=["Cc"], exclude_characters=',;"')


def spelled(folder: Path, path: str) -> dict[str, str]:
    """Ways to write the path of a picture in `folder`/p, all of them seen in people's lists."""
    return {
        "as it is": path,
        "backslashes": path.replace("/", "\\"),
        "dot": f"./{path}",
        "dot and backslash": ".\\" + path.replace("/", "\\"),
        "absolute": f"{folder}/p/{path}",
        "from the current folder": os.path.relpath(folder / "p" / path),
        "from the list's folder": f"p/{path}",
        "doubled slashes": path.replace("/", "//"),
        "spaces around": f"  {path} ",
        "decomposed": unicodedata.normalize("NFD", path),
        "up and down": f"nowhere/../{path}",
        "without suffix": path.removesuffix(".png"),
    }


@dataclass(frozen=True)
class Written:
    """A table's bytes, and for each of its lines the picture that it names, None where it names none."""

    data: bytes
    pictures: list[str | None]

    @property
    def reported(self) -> int:
        """How many lines name no picture."""
        return self.pictures.count(None)


@st.composite
def written(
    draw: st.DrawFn,
    folder: Path,
    rest: Callable[[str | None], Sequence[str]] = lambda path: (),
    columns: Sequence[str] = ("path",),
    header: bool | None = None,
) -> Written:
    """A table of paths in any spelling with the `rest` of their lines' cells, among lines that name nothing; every
    picture at most once. Without `header` it may have one or not.
    """
    encoding = draw(st.sampled_from(ENCODINGS))
    separator = draw(st.sampled_from([",", ";", "\t"] if len(columns) > 1 else [None, ",", ";", "\t"]))
    known: dict[str, str | None] = {}
    for path in draw(st.lists(st.sampled_from(PATHS), min_size=1, unique=True)):
        text = draw(st.sampled_from([*spelled(folder, path).values()]))
        known[text if encodable(text, encoding) else path] = path
    known |= dict.fromkeys(draw(st.lists(st.text(LETTERS, min_size=1).map("zz{}".format), max_size=6)))
    order = draw(st.permutations([*known]))
    rows = [(text, *rest(known[text])) for text in order]
    if header or (header is None and draw(st.booleans())):
        rows.insert(0, tuple(columns))
    lines = [row[0] if separator is None else separator.join(quoted(cell, separator) for cell in row) for row in rows]
    end = draw(st.sampled_from(["\n", "\r\n", "\r", "\n\n"]))
    return Written(end.join(lines).encode(encoding, "replace"), [known[text] for text in order])


def quoted(cell: str, separator: str) -> str:
    return f'"{cell}"' if separator in cell else cell


def encodable(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


class Reports:
    """`with Reports() as reports`: collects the warnings about lines that name no picture."""

    def __enter__(self) -> "Reports":
        self._catching = warnings.catch_warnings(record=True)
        self._said = self._catching.__enter__()
        warnings.simplefilter("always")
        return self

    def __exit__(self, *error: object) -> None:
        self._catching.__exit__(None, None, None)

    @property
    def counts(self) -> list[tuple[int, int]]:
        """Of each warning, how many lines of how many name no picture."""
        found = [re.search(r"(\d+) of (\d+) lines name no picture", str(each.message)) for each in self._said or ()]
        return [(int(each[1]), int(each[2])) for each in found if each]
