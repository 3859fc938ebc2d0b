"""Forms made from an experiment's signature, what was put into them, and the command that does the same.

    form(experiment("occlude"), {"size": ["32"]}, desk)
    values, errors = answers(experiment("occlude"), {"pictures": ["17"], "size": ["32"]}, desk)

What a browser may name is what is here already: pictures of the atlas by their number, pictures and files that were
brought by their key, data sets that are bundled, folders and data sets that were offered by their names. Paths and code
are for the command line.
"""

import re
import secrets
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from convscope.disk.atomic import put
from convscope.disk.scratch_dirs import hold
from convscope.errors import ArgumentError, ConvscopeError
from convscope.parameters import Field, File, Images, Picture, Pictures
from convscope.pictures import GALLERY
from convscope.runner import Experiment, Named, read
from convscope.web.allowed_inputs import choices, offers
from convscope.web.contexts.experiments import Choice, Control, Form
from convscope.web.pages.atlas import Survey
from convscope.web.results_index import FOLDER
from convscope.web.security import LIMIT
from convscope.web.viewed_pictures import Slides

SAMPLES = 12  # pictures of the atlas that a form offers at once
LONGEST = 2000  # letters of one answer
RESULTS = "results"  # in the folder of what was brought: results that came of it
UPLOADS = 32  # files that come with a form, at most
FILE = 4 * 2**20  # bytes of a file that is brought
PLAIN = ("text", "integer", "number")
SPELLINGS = {kind.__metadata__[-1] for kind in (Picture, Pictures, Images, File)}  # how a command spells these

Given = Mapping[str, Sequence[str]]  # by parameter: what was typed or ticked


class Desk:
    """What forms can offer: the atlas' layers and pictures, what was brought, what was `offered`, the network.

    Without `slides` there is no network to run; `reason` says why. `folder` is for files, and goes with the server.
    """

    def __init__(
        self, survey: Survey, slides: Slides | None, reason: str, folder: Path, offered: Sequence[str] = ()
    ) -> None:
        self.survey, self.slides, self.reason, self.folder = survey, slides, reason, folder
        self.spec = slides.network.spec if slides else None
        if slides and self.spec is None:
            self.reason = f"{survey.info.network} only lives in memory, so nothing else can open it"
        self.offers = offers(offered, self.spec)
        images = survey.atlas.columns("pictures", ["image"])["image"]
        spread = np.linspace(0, len(images) - 1, SAMPLES if len(images) else 0)
        self.samples = tuple(str(images[place]) for place in np.unique(spread.round().astype(int)))
        self._files: dict[str, tuple[Path, str]] = {}

    def bring(self, content: BinaryIO, name: str) -> str:
        """Keep a file; returns its key. Raises ArgumentError for one that is too large."""
        data = content.read(FILE + 1)
        if len(data) > FILE:
            raise ArgumentError("file", name, f"expected at most {FILE >> 20} MiB")
        key = f"f{secrets.token_hex(8)}"
        shown = re.sub(r"[^\w. -]", "", name)[-80:].strip() or "file"
        path = self.hold() / f"{key}{Path(shown).suffix}"
        put(path, data)
        self._files[key] = path, shown
        return key

    def hold(self) -> Path:
        """The folder, which is there from now on."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        hold(self.folder)
        return self.folder

    def choices(self, field: Field) -> dict[str, str]:
        """What a data set or folder may be: name and what a command calls it."""
        return choices(field, self.offers, self.survey.info.data)

    def file(self, key: str) -> Named:
        """A file that was brought."""
        if key not in self._files:
            raise ArgumentError("file", key, "no longer here: files that you bring are kept until the app ends")
        path, name = self._files[key]
        return Named(name, str(path))

    def spelled(self, key: str) -> str:
        """A picture as a command would name it: bundled ones as they are, others by their names alone."""
        if not re.fullmatch(r"\d{1,18}|u[0-9a-f]{16}", key):
            raise ArgumentError("picture", key, "expected the number of a picture in the atlas")
        if key.startswith("u"):
            return str(self._slide(key).name)
        path = self.survey.atlas.picture(int(key)).path
        return f"gallery/{path}" if self.survey.info.data == "gallery" and (GALLERY / path).is_file() else path

    def pictures(self, keys: Sequence[str]) -> list[Any]:
        """Pictures as an experiment takes them: bundled by name, brought ones as files, else as the network sees them.

        Pictures of one experiment are all of one kind.
        """
        spelled = [self.spelled(key) for key in keys]
        if not any(key.startswith("u") for key in keys) and all(name.startswith("gallery/") for name in spelled):
            return list(spelled)
        slides = [self._slide(key) for key in keys]
        if all(slide.file for slide in slides):
            return [Named(slide.name, slide.file) for slide in slides]
        return [Named(slide.name, slide.inputs.contiguous()) for slide in slides]

    def _slide(self, key: str) -> Any:
        if self.slides is None:
            raise ArgumentError("picture", key, self.reason)
        return self.slides[key]

    def album(self, keys: Sequence[str]) -> tuple[Choice, ...]:
        """Pictures to tick: those chosen, those brought, and a few of the atlas."""
        brought = [key for key, _ in self.slides.brought] if self.slides else []
        found = []
        for key in dict.fromkeys([*keys, *brought, *self.samples]):
            try:
                image = None if key.startswith("u") else (int(key), self.survey.thumbnails)
                found.append(Choice(key, self.spelled(key), key in keys, image))
            except (ConvscopeError, ValueError):  # a number that is none: the message is beside the form
                continue
        return tuple(found)


def tokens(field: Field, several: bool, given: Given) -> list[str]:
    """What was given for a parameter, as single values; nothing where the default is to hold."""
    texts = [text[:LONGEST] for text in given.get(field.name, ()) if text.strip()]
    if field.kind == "flag":
        return texts[-1:]
    if field.kind in ("picture", "pictures"):
        return list(dict.fromkeys(word for text in texts for word in re.split(r"[\s,]+", text.strip())))
    if several and field.kind in PLAIN:
        between = r"[\s,;]+" if field.kind != "text" else r"[\r\n]+"
        return [word.strip() for text in texts for word in re.split(between, text) if word.strip()]
    return [text.strip() for text in texts] if several else [text.strip() for text in texts[-1:]]


def answers(chosen: Experiment, given: Given, desk: Desk) -> tuple[dict[str, Any], dict[str, str]]:
    """What to give the experiment, and for each parameter that has a wrong answer what is wrong with it."""
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for field in chosen.fields:
        try:
            values[field.name] = _value(field, tokens(field, chosen.several(field), given), chosen.several(field), desk)
        except ConvscopeError as error:
            errors[field.name] = str(error)
    return values, errors


def _value(field: Field, texts: list[str], several: bool, desk: Desk) -> Any:
    if field.kind == "network":
        return desk.spec
    if not texts:
        if not field.optional:
            raise ArgumentError(field.name, "", f"expected {WANTED.get(field.kind, 'a value')}")
        return None
    if field.kind in ("picture", "pictures"):
        if len(texts) > 1 and not several:
            raise ArgumentError(field.name, " ".join(texts), "expected one picture")
        found = desk.pictures(texts)
        return found if field.many else found[0]
    if field.kind in ("images", "folder"):
        there = desk.choices(field) if _offerable(field) else {}
        if texts[0] not in there:
            expected = f"one of {', '.join(there)}" if there else WANTED["folder"]
            raise ArgumentError(field.name, texts[0], f"expected {expected}")
        return there[texts[0]]
    if field.kind == "file":
        return desk.file(texts[0])
    if field.kind == "text":
        for text in texts:
            _harmless(field, text)
    return read(field, texts if several else texts[0])


WANTED = {"picture": "a picture", "pictures": "a picture", "images": "a data set", "file": "a file"}
WANTED |= {"folder": "one that was offered: convscope view ATLAS --offer FOLDER"}


def _offerable(field: Field) -> bool:
    """Whether the form asks for it: inputs are offered by name, folders to write into are for the command line."""
    return field.positional or field.kind != "folder"


def _harmless(field: Field, text: str) -> None:
    """Neither a path nor code, which a page of a browser is not to name."""
    if re.search(r"[/\\]|\.\.", text) or text.startswith(("py:", "~")) or _is_file(text):
        raise ArgumentError(field.name, text, "files and code are for the command line")


def _is_file(name: str) -> bool:
    """Whether a file of this name is where the app was started."""
    with suppress(OSError, ValueError):  # no name that a file could have
        return Path(name).is_file()
    return False


def form(chosen: Experiment, given: Given, desk: Desk, errors: Mapping[str, str] | None = None) -> Form:
    """The form with what was given standing in it."""
    offered = [field for field in chosen.fields if field.kind != "network" and _offerable(field)]
    wrong = errors or {}
    controls = [_control(one, chosen.several(one), given, wrong.get(one.name, ""), desk) for one in offered]
    first = {field.name for field in offered if field.positional}
    return Form(
        controls=tuple(control for control in controls if control.name in first),
        options=tuple(control for control in controls if control.name not in first),
        command=command(chosen, given, desk),
        open=not desk.reason,
        reason=desk.reason,
        most=(UPLOADS, LIMIT),
        apart=tuple(f"--{field.name.replace('_', '-')}" for field in chosen.fields if not _offerable(field)),
    )


def _control(field: Field, several: bool, given: Given, error: str, desk: Desk) -> Control:
    """A parameter's place in the form."""
    typed = tokens(field, several, given)
    kind = _kind(field, several)
    ticks: tuple[Choice, ...] = ()
    if kind == "pictures":
        ticks = desk.album([key for key in typed if re.fullmatch(r"\d{1,18}|u[0-9a-f]{16}", key)])
        typed = [key for key in typed if key not in {choice.value for choice in ticks}]
    elif kind in ("select", "boxes") or field.name == "layer":
        names = list(desk.survey.layers) if field.name in ("layers", "layer") else [*_offered(field, desk)]
        names += [text for text in typed if text not in names and kind == "boxes"]
        ticks = tuple(Choice(name, name, name in typed) for name in names)
        typed = [] if kind != "text" else typed
    elif kind == "checkbox":
        ticks, typed = (Choice("yes", field.name, _on(typed, field)),), []
    elif kind == "file" and typed:
        ticks = tuple(Choice(key, desk.file(key).name, True) for key in typed if not error)
        typed = []
    return Control(
        name=field.name,
        kind=kind,
        help=_help(field, ticks, desk),
        usual=_usual(field),
        typed="\n".join(typed),
        choices=ticks,
        error=error,
        required=not field.optional,
        whole=field.kind == "integer",
        several=several,
    )


def _help(field: Field, ticks: Sequence[Choice], desk: Desk) -> str:
    own = "" if field.help in SPELLINGS else field.help
    if field.kind == "folder" and not ticks:
        return f"{own}. None is offered here: end the app, and start it with --offer FOLDER"
    if field.kind in ("images", "folder") and not desk.offers:
        return "; ".join(filter(None, [own, "convscope view ATLAS --offer FOLDER offers more"]))
    return own


def _kind(field: Field, several: bool) -> Any:
    if field.kind in ("picture", "pictures"):
        return "pictures"
    if field.kind == "file":
        return "file"
    if field.kind == "flag":
        return "checkbox"
    if several and (field.choices or field.name == "layers"):
        return "boxes"
    if several:
        return "lines"
    if field.kind in ("choice", "images", "folder"):
        return "select"
    return "number" if field.kind in ("integer", "number") else "text"


def _offered(field: Field, desk: Desk) -> Sequence[str]:
    return tuple(desk.choices(field)) if field.kind in ("images", "folder") else field.choices


def _usual(field: Field) -> str:
    """The field's default in words, unless it is for the experiment to choose, or stands in the help."""
    if field.kind == "flag":
        return "yes" if field.default else "no"
    if field.default in (None, (), []) or "[default" in field.help:
        return ""
    several = isinstance(field.default, tuple | list)
    return ", ".join(map(str, field.default)) if several else str(field.default)


def command(chosen: Experiment, given: Given, desk: Desk) -> str:
    """The command that does what the form would."""
    words = ["convscope", chosen.name.replace("_", "-")]
    for field in chosen.fields:
        texts = tokens(field, chosen.several(field), given)
        if field.kind in ("picture", "pictures"):
            texts = [_named(desk.spelled, key) for key in texts]
        elif field.kind == "file":
            texts = [_named(lambda key: desk.file(key).name, key) for key in texts]
        elif field.kind in ("images", "folder"):
            there = desk.choices(field)
            texts = [there.get(name, name) for name in texts]
        flag = f"--{field.name.replace('_', '-')}"
        if field.kind == "network":
            words.append(desk.spec or desk.survey.info.spec or "NETWORK")
        elif field.positional:
            unsaid = "IMAGES" if field.kind == "images" else field.name.removesuffix("s").upper()
            words += texts or ([] if field.optional else [unsaid])
        elif field.kind == "flag":
            on = _on(texts, field)
            words += [] if on == bool(field.default) else [flag if on else f"--no-{flag[2:]}"]
        else:
            words += [word for text in texts for word in (flag, text)]
    out = desk.survey.atlas.path / FOLDER / chosen.name
    return shlex.join([*words, "-o", str(out)])


def _on(texts: Sequence[str], field: Field) -> bool:
    return texts[-1].lower() in ("1", "true", "yes", "on") if texts else bool(field.default)


def _named(name: Callable[[str], str], key: str) -> str:
    try:
        return name(key)
    except ConvscopeError:
        return key
