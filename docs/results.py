"""docs/results.md from the result files in docs/results: python docs/results.py, or make results.

The rows are in register/; here they are only set in type.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from register.claims import CLAIMS
from register.figures import FIGURE_ROWS
from register.others import OTHER_ROWS
from register.rows import HOLDS, MEANING, Row, together
from register.runs import NOTHING, RESULTS, RUNS, Found
from register.tables import TABLE_ROWS, WHOLE

DOCS = Path(__file__).parent
ROWS: tuple[Row, ...] = (*TABLE_ROWS, *FIGURE_ROWS, *OTHER_ROWS)

Opened = Mapping[str, Found | None]  # run -> what it left


class Section(NamedTuple):
    """What the rows of a method are; in what order their numbers stand, where a row has several."""

    title: str
    numbers: str = ""


SECTIONS: Mapping[str, Mapping[str, Section]] = {
    "The paper's tables": {
        "TB1": Section("Table 1: correspondence", "Share of values that hiding changes differently: layer 5, layer 7."),
        "TB2": Section("Table 2: errors on ImageNet 2012", "Per cent: val top-1 / val top-5 / test top-5."),
        "TB3": Section("Table 3: the architecture taken apart", "Per cent: train top-1 / val top-1 / val top-5."),
        "TB4": Section("Table 4: features for Caltech-101", "Per cent right, the mean over classes."),
        "TB5": Section("Table 5: features for Caltech-256", "Per cent right, the mean over classes."),
        "TB6": Section("Table 6: PASCAL VOC 2012", "Average precision in per cent: Sande / Yan / the paper."),
        "TB7": Section("Table 7: linear classifiers, layer by layer", "Per cent right, the mean over classes."),
    },
    "The paper's figures": {
        "F2": Section("Figure 2: what the strongest pictures of a map have in common"),
        "F4": Section("Figure 4: how features form in training"),
        "F5": Section("Figure 5: shifts, scales, rotations"),
        "F6": Section("Figure 6: the first layer diagnosed", "7×7/2 / 11×11/4 free, then renormalised."),
        "F7": Section("Figure 7: occlusion"),
        "F7b": Section("Occlusion made fast, beside speeds that others report"),
        "F9": Section("Figure 9: with how few pictures", "Per cent right, the mean over classes."),
    },
    "Networks and their training": {
        "M1": Section("The sizes of ZFNet's maps"),
        "M3": Section("The variants' parameters", "For 1,000 classes."),
        "M9": Section("What contrast normalisation is worth", "Points of top-1 / top-5."),
        "T6": Section("The rate of learning: plateau, or cosine", "Top-1 errors in per cent."),
        "T9": Section("What renormalised filters cost", "Top-1 errors in per cent."),
    },
    "The student paper": {
        "M5": Section("A convnet for handwritten digits"),
        "M6": Section("A convnet for five classes"),
        "M7": Section("VGG16 on the five classes"),
        "P1": Section("Reading activations"),
        "P2": Section("Optima of channels"),
        "P3": Section("Where an optimum starts"),
        "P6": Section("Filters that repeat one another"),
    },
    "Maximisation, inversion, concepts": {
        "A1": Section("Activation maximisation"),
        "A5": Section("Invariances around an optimum"),
        "I1": Section("Inversion by descent"),
        "I2": Section("Inversion by decoders"),
        "N1": Section("Network dissection"),
        "N4": Section("Concepts as combinations of filters"),
    },
}

HEAD = """# Results

What was published, what was measured here, and whether the *finding* holds here, by a rule that stands beside it.
Written by `make results` from the files in [results](results/); what its short names stand for is in
[methods](methods.md).

**None of it is a reproduction.** The paper's networks saw the 1.3 million pictures of ImageNet 2012 at 224 pixels, for
twelve days of a GPU. Ours saw at most 54,000 pictures of two hundred classes, of 64 to 128 pixels, for hours of a CPU
or minutes of a GPU. The numbers do not compare; which of two things does better may."""

EARLIER = "the earlier bundled network"  # as run.json says it of what was not measured again on the present one


def page(results: Path = RESULTS) -> str:
    """The text of docs/results.md. Raises DataError where a run has not what a row asks for."""
    opened = {name: run.open(results) for name, run in RUNS.items()}
    lines = [HEAD, *_networks(opened), *_summary(opened)]
    for group, sections in SECTIONS.items():
        lines += ["", f"## {group}"]
        for id, section in sections.items():
            lines += ["", *_section(id, section, opened)]
    return "\n".join([*lines, "", *_register(opened), "", *_folders(opened)]) + "\n"


def _networks(opened: Opened) -> Iterator[str]:
    """Which folders were measured on the network that was bundled before."""
    names = sorted({found.name for found in opened.values() if found and found.setting.get("network") == EARLIER})
    bundled = opened["bundled"]
    if names and bundled:
        now, before = (f"{bundled.number(network=name, **WHOLE):.1f} %" for name in ("zfnet128", "finetune"))
        yield from ("", f"**Measured on {EARLIER}**, which has {before} of Caltech-101 right where the present one has")
        yield f"{now}, and not yet again: {_listed([f'[{name}](results/{name}/README.md)' for name in names])}."


def _found(row: Row, opened: Opened) -> Found | None:
    return opened[row.run] if row.run else NOTHING


def _of(claim: str) -> list[Row]:
    return [row for row in ROWS if row.claim == claim]


def _verdict(claim: str, opened: Opened) -> str:
    return together([row.verdict(_found(row, opened)) for row in _of(claim)])


def _summary(opened: Opened) -> Iterator[str]:
    """What the verdicts mean; which claims have which, and at which scale."""
    verdicts = {claim: _verdict(claim, opened) for claim in CLAIMS}
    yield from ("", "## What holds here", "")
    yield f"Of the {len(CLAIMS)} [claims](#claims) of the sources:"
    yield ""
    for word, meaning in MEANING.items():
        yield f"- **{word}**: {list(verdicts.values()).count(word)}; {meaning}."
    for word in MEANING:
        chosen = [claim for claim, verdict in verdicts.items() if verdict == word]
        if chosen:
            yield from ("", f"### {word[0].upper()}{word[1:]}", "")
            yield from (_line(claim, opened) for claim in chosen)


def _line(claim: str, opened: Opened) -> str:
    """A claim, and what its verdict rests on."""
    rows = _of(claim)
    words = [row.verdict(_found(row, opened)) for row in rows]
    counted = f", {words.count(HOLDS)} of {len(words)} findings" if len(set(words)) > 1 else ""
    places = ", ".join(dict.fromkeys(f"[{row.id}](#{row.id.lower()})" for row in rows))
    scales = "; ".join(dict.fromkeys(_scale(row, opened) for row in rows))
    return f"- {claim}, {CLAIMS[claim].words} ({places}{counted}): {scales}"


def _scale(row: Row, opened: Opened) -> str:
    if row.run is None:
        return "counted again in the printed table"
    found = opened[row.run]
    if found is None:
        return f"needs {RUNS[row.run].needs}" if RUNS[row.run].needs else f"[{row.run}](#{row.id.lower()}) is to be run"
    return ", ".join(found.setting[key] for key in ("data", "network", "size") if key in found.setting)


def _section(id: str, section: Section, opened: Opened) -> Iterator[str]:
    """A table or figure: on what it was run, its numbers, its findings."""
    rows = [row for row in ROWS if row.id == id]
    yield from (f"### {id}", "", f"{section.title} ([{id}](methods.md#{id.lower()})). {section.numbers}".rstrip(), "")
    yield from _settings(dict.fromkeys(row.run for row in rows if row.run), opened)
    numbers, findings = [row for row in rows if not row.rule], [row for row in rows if row.rule]
    if numbers:
        yield from ("", "| | published | ours |", "|---|---|---|")
        for row in numbers:
            yield _cells(row.what, row.published, row.answer(_found(row, opened)).text)
    if findings:
        yield from ("", "| finding | published | ours | here |", "|---|---|---|---|")
        for row in findings:
            found = _found(row, opened)
            what = f"{row.what}{f' ({row.claim})' if row.claim else ''}. *{row.rule[0].upper()}{row.rule[1:]}.*"
            yield _cells(what, row.published, row.answer(found).text, f"**{row.verdict(found)}**")


def _cells(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _settings(names: Iterable[str], opened: Opened) -> Iterator[str]:
    """On what runs were made, a line a folder; how to make the others, a line a command."""
    made: dict[str, Found] = {}
    missing: dict[str, list[str]] = {}
    for name in names:
        found = opened[name]
        if found:
            made.setdefault(found.name, found)
        else:
            missing.setdefault(RUNS[name].command, []).append(name)
    for folder, found in made.items():
        said = found.setting
        extra = [f"{key}: {said[key]}" for key in ("network", "epochs", "seeds") if said.get(key, "none") != "none"]
        told = "; ".join([said["data"], said["pictures"], said["size"], *extra, said["date"]])
        yield f"- [{folder}](results/{folder}/README.md): {told}."
    for command, runs in missing.items():
        needs = f" for want of {RUNS[runs[0]].needs}" if RUNS[runs[0]].needs else ""
        yield f"- Not run{needs}: {_listed(runs)}, by `{command}`."


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words)


def _register(opened: Opened) -> Iterator[str]:
    """The claims register (METHODS §11)."""
    yield from ("## Claims", "")
    yield "What the sources say, and when it holds: every finding must, and one that does not is enough against it."
    yield from ("", "| | claim | source | holds when | here |", "|---|---|---|---|---|")
    for claim, (words, source) in CLAIMS.items():
        parts = [f"[{row.id}](#{row.id.lower()}): {row.rule}: {row.verdict(_found(row, opened))}" for row in _of(claim)]
        yield _cells(claim, words, source, "<br>".join(parts), f"**{_verdict(claim, opened)}**")


def _folders(opened: Opened) -> Iterator[str]:
    """Every folder that a row has read."""
    yield from ("## Folders", "", "Numbers, figures, commands and what else there is to say of each run:", "")
    for folder in sorted({found.name for found in opened.values() if found}):
        yield f"- [{folder}](results/{folder}/README.md)"


def main() -> None:
    """Write docs/results.md, or the file named."""
    (Path(sys.argv[1]) if sys.argv[1:] else DOCS / "results.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
