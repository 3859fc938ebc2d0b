"""Well-known data sets: how many pictures each has, and which one a source is (METHODS D1 to D6)."""

from dataclasses import dataclass

from convscope.data.sources import Pictures


@dataclass(frozen=True)
class Known:
    """A data set as it is handed out: numbers of pictures and classes that tell it from others."""

    name: str
    pictures: int
    classes: int


KNOWN = (
    Known("Caltech-101", 9144, 102),
    Known("Caltech-101", 9145, 102),  # one file of its background has no extension, and is a picture
    Known("Caltech-101", 8677, 101),  # without background
    Known("Caltech-256", 30607, 257),
    Known("Caltech-256", 29780, 256),  # without clutter
)


def recognised(pictures: Pictures) -> str | None:
    """The name of a well-known data set, by its numbers."""
    classes = len(pictures.classes or ())
    return next((one.name for one in KNOWN if (one.pictures, one.classes) == (len(pictures), classes)), None)
