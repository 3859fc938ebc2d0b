r"""Names from outside as text that may be shown: on a terminal, in a page, in a figure.

    decodable("caf\udce9.png")      # "caf�.png": what `os` makes of a name that is no UTF-8, fit for any file
    printable("red\x1b[31m.png")    # r"red\x1b[31m.png": it colours nothing

A file may be called anything; its name must neither fail to be written nor act on what shows it.
"""

import re

UNDECODED, NO_BYTE = re.compile("[\ud800-\udfff]"), re.compile("[\ud800-\udc7f\udd00-\udfff]")
ACTIVE = re.compile(  # controls, separators of lines, marks that turn the direction of text or take no width
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
LINES = "\n\t"


def decodable(name: str) -> str:
    """Return the name with U+FFFD, a question mark in a diamond, for every byte that is no UTF-8."""
    if not UNDECODED.search(name):
        return name
    return NO_BYTE.sub("\N{REPLACEMENT CHARACTER}", name).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def printable(text: str, lines: bool = False) -> str:
    """Return the text with a Python escape for every character that acts instead of being seen.

    With `lines`, newlines and tabs stay: for text of ours around such names, and for what stands in a page.
    """

    def escape(match: re.Match[str]) -> str:
        return match[0] if lines and match[0] in LINES else repr(match[0])[1:-1]

    return ACTIVE.sub(escape, decodable(text))
