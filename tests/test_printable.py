import os
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from convscope.printable import decodable, printable

ANYTHING = st.text(st.characters(exclude_categories=[]))  # lone surrogates too


@given(st.binary(max_size=20))
@example(b"caf\xe9.png")
def test_a_file_of_any_name_has_one_that_can_be_written(name: bytes) -> None:
    text = name.decode("utf-8", "surrogateescape")
    assert decodable(text) == name.decode("utf-8", "replace")


@given(ANYTHING)
def test_whatever_is_shown_acts_on_nothing(text: str) -> None:
    shown = printable(text)
    shown.encode()
    joiners = {"\u200c", "\u200d"}  # scripts and emoji need them
    categories = {unicodedata.category(letter) for letter in shown if letter not in joiners}
    assert not categories & {"Cc", "Cs", "Zl", "Zp"}
    assert not {*shown} & {*"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\ufeff"}


@given(st.text(st.characters(categories=["L", "N", "P", "S"]) | st.sampled_from(" \u3000\u00a0\u200d")))
def test_what_can_be_seen_stays(text: str) -> None:
    assert printable(text) == decodable(text) == text


def test_escapes_are_pythons_and_lines_stay_where_they_may() -> None:
    name = os.fsdecode(b"a\x1b[31m\n\tb\xff") + "\u202e\x9b"
    assert printable(name) == r"a\x1b[31m\n\tb" + "\ufffd" + r"\u202e\x9b"
    assert printable(name, lines=True) == "a\\x1b[31m\n\tb\ufffd\\u202e\\x9b"
    assert decodable("\ud800") == "\ufffd"
