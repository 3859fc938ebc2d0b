"""Decode text whose encoding nobody states: lists, tables and file names.

Statistics of letters, as charset-normalizer has them, err on short lists: it reads 30 names of Latin-1 as cp1250 and
two of cp1252 as cp1006. A list names pictures that are there, so its reader tries the candidates in turn.
"""

import codecs
import os
from collections.abc import Iterator

MARKS = {  # byte-order marks; UTF-32's begin with UTF-16's
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")  # the only texts with zero bytes
LEGACY = ("cp1250", "cp1251", "mac_roman", "cp850", "gb18030", "cp932", "big5", "euc_kr")  # after UTF-8 and cp1252


def candidates(data: bytes) -> Iterator[str]:
    """Yield every text that the bytes may be, the likeliest first: one alone where a mark or valid UTF-8 decides it."""
    for mark, encoding in MARKS.items():
        if data.startswith(mark):
            yield data.decode(encoding, "replace")
            return
    wide = b"\0" in data
    if not wide:
        yield western(data)
        if western(data).encode() == data:
            return
    for encoding in WIDE if wide else LEGACY:
        try:
            yield data.decode(encoding)
        except UnicodeDecodeError:
            continue
    if wide:
        yield western(data)  # no text at all, or one with stray zeros


def western(data: bytes) -> str:
    """Return the text of UTF-8 or, line by line where that is not valid, of cp1252 (Windows' Latin-1)."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "\n".join(_line(line) for line in data.split(b"\n"))


def _line(line: bytes) -> str:
    for encoding in ("utf-8", "cp1252"):
        try:
            return line.decode(encoding)
        except UnicodeDecodeError:
            continue
    return line.decode("latin-1")  # which has all 256 bytes, cp1252 lacks five


def file_name(name: str) -> str:
    """Return a name from the file system as a list would spell it: bytes that are not UTF-8 read as cp1252."""
    return name if name.isascii() else western(os.fsencode(name))
