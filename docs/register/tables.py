"""The paper's tables (METHODS TB1 to TB7, F9): the numbers in them, and what they are printed to show."""

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

from register.rows import Answer, Read, Row, quoted, rising, slashed, spread
from register.runs import FEATURES, HERE, HOG, Found
from register.runs import SCRATCH as ALONE

from convscope.training.published import LAYERWISE, OURS, SCRATCH, TABLE2, TABLE3, TABLES, VOC2012, VOC2012_MEAN

PARTS = ("right eye", "left eye", "nose")
TB1 = {  # location -> layer 5, layer 7
    "right eye": ("0.067 ± 0.007", "0.069 ± 0.015"),
    "left eye": ("0.069 ± 0.007", "0.068 ± 0.013"),
    "nose": ("0.079 ± 0.017", "0.069 ± 0.011"),
    "random": ("0.107 ± 0.017", "0.073 ± 0.014"),
    "same place": ("not measured", "not measured"),
}


def _alike(location: str) -> Read:
    def read(found: Found) -> Answer:
        cells = [
            spread(found.number(location=location, layer=layer), found.number("std", location=location, layer=layer), 3)
            for layer in ("pool5", "relu7")
        ]
        return Answer(", ".join(cells))

    return read


def _below(other: str) -> Read:
    """Whether every part scores below other boxes at layer 5."""

    def read(found: Found) -> Answer:
        parts = [found.number(location=part, layer="pool5") for part in PARTS]
        level = found.number(location=other, layer="pool5")
        return Answer(f"{', '.join(f'{part:.3f}' for part in parts)}; {level:.3f}", max(parts) < level)

    return read


def _gone(found: Found) -> Answer:
    gaps = [
        found.number(location="random", layer=layer) - fmean(found.number(location=part, layer=layer) for part in PARTS)
        for layer in ("pool5", "relu7")
    ]
    return Answer(f"{gaps[0]:.3f} at layer 5, {gaps[1]:.3f} at layer 7", gaps[1] < gaps[0])


def _table1() -> Iterator[Row]:
    for location, published in TB1.items():
        yield Row("TB1", location, ", ".join(published), "correspondence", _alike(location))
    yield Row(
        "TB1", "At layer 5 hiding the same part changes pictures more alike than hiding random places",
        "0.067, 0.069, 0.079; 0.107", "correspondence", _below("random"),
        "every part below random", "C16",
    )  # fmt: skip
    yield Row(
        "TB1", "… and more alike than hiding the same place, whatever it shows (our control)",
        "not measured", "correspondence", _below("same place"),
        "every part below boxes at one random place, the same in all pictures",
    )  # fmt: skip
    yield Row(
        "TB1", "At layer 7 the difference is gone", "0.035 at layer 5, 0.004 at layer 7", "correspondence", _gone,
        "random less the mean of the parts is smaller at layer 7 than at layer 5", "C16",
    )  # fmt: skip


ENSEMBLES = {  # the row of Table 2 -> our networks
    "ZFNet": ("zfnet, seed 0", "zfnet, seed 1", "zfnet, seed 2"),
    "5 ZFNets (a)": ("five, (a)",),
    "ZFNet with 512, 1024, 512 maps (b)": ("zfnet-wide, seed 0",),
    "6 convnets (a) + (b)": ("six, (a) + (b)",),
}
MEMBERS = ("zfnet, seed 0", "zfnet, seed 1", "zfnet, seed 2", "zfnet-fc-2048, seed 0", "zfnet-fc-8192, seed 0")


def _ten(found: Found, *networks: str, k: int = 1) -> float:
    return fmean(found.number(network=name, crops="ten", measure=f"top-{k} error") for name in networks)


def _errors(names: tuple[str, ...]) -> Read:
    return lambda found: Answer(slashed(_ten(found, *names), _ten(found, *names, k=5), None))


def _five(found: Found) -> Answer:
    five, alone = _ten(found, "five, (a)"), _ten(found, *MEMBERS)
    return Answer(f"{five:.1f} against {alone:.1f}", five < alone)


CHANCE = 0.5  # points by which two ensembles may differ for no reason, on 5,000 pictures


def _six(found: Found) -> Answer:
    six, others = _ten(found, "six, (a) + (b)"), [_ten(found, name) for name in ("five, (a)", "zfnet-wide, seed 0")]
    gain = min(others) - six
    return Answer(f"{six:.1f}; {slashed(*others)}", None if abs(gain) < CHANCE else gain > 0)


def _replicates(found: Found) -> Answer:
    top1, top5 = (found.number(variant="alexnet", measure=measure) for measure in ("val top-1", "val top-5"))
    return Answer(slashed(top1, top5), abs(top1 - 40.5) <= 0.2 and abs(top5 - 18.1) <= 0.1)


def _table2() -> Iterator[Row]:
    for name, errors in TABLE2.items():
        ours = ENSEMBLES.get(name)
        yield Row("TB2", name, slashed(*errors), "ensembles" if ours else None, _errors(ours) if ours else quoted)
    yield Row(
        "TB2", "The replication of AlexNet matches the published network", "40.5 / 18.1 against 40.7 / 18.2",
        "imagenet", _replicates, "on ImageNet, top-1 within 0.2 and top-5 within 0.1 points of 40.5 and 18.1", "C1",
    )  # fmt: skip
    yield Row(
        "TB2", "Five networks err less than one", "36.7 against 38.4", "ensembles", _five,
        "top-1 of the five together below the mean of the five alone, ten crops", "C3",
    )  # fmt: skip
    yield Row(
        "TB2", "A wider sixth network helps them still", "36.0; 36.7 / 37.5", "ensembles", _six,
        "top-1 of the six below that of the five, and of the wide one alone; undecided within 0.5 points", "C3",
    )  # fmt: skip


MEASURES = ("train top-1", "val top-1", "val top-5")


def _variant(name: str) -> Read:
    def read(found: Found) -> Answer:
        own = [found.number(variant=name, measure=measure) for measure in MEASURES]
        seeds = found.number("seeds", variant=name, measure="val top-1")
        return Answer(slashed(*own) + (f" ({seeds:.0f} seeds)" if seeds > 1 else ""))

    return read


def _points(found: Found, worse: str, better: str) -> tuple[float, bool]:
    """By how many points of top-1 one variant errs more than another; whether they are told apart (M3)."""
    for name, than, sign in ((worse, better, 1), (better, worse, -1)):
        pairs = [row for row in found.rows("than") if row["variant"] == name and row["than"] == than]
        if pairs:
            return sign * pairs[0]["value"], pairs[0]["separated"]
    return found.number(variant=worse, than=better), False  # not there: says so


def _worse(*pairs: tuple[str, str]) -> Read:
    """Whether the first of each pair errs more than the second, every pair told apart."""

    def read(found: Found) -> Answer:
        points = [_points(found, *pair) for pair in pairs]
        text = ", ".join(f"{apart:+.1f}{'' if told else ' (may be chance)'}" for apart, told in points)
        if any(told and apart < 0 for apart, told in points):
            return Answer(text, False)
        return Answer(text, True if all(told for _, told in points) else None)

    return read


def _little(limit: float, *pairs: tuple[str, str]) -> Read:
    """Whether the two of each pair lie within so many points of one another."""

    def read(found: Found) -> Answer:
        points = [_points(found, *pair)[0] for pair in pairs]
        return Answer(", ".join(f"{apart:+.1f}" for apart in points), max(map(abs, points)) <= limit)

    return read


def _share(found: Found) -> Answer:
    whole, layers = (found.number(network="alexnet", measure=key) for key in ("parameters", "parameters of fc6, fc7"))
    return Answer(f"{100 * layers / whole:.1f} %", layers > whole / 2)


def _overfits(found: Found) -> Answer:
    big, wide = "zfnet-wide-fc-8192", "zfnet-wide"
    train = found.number(variant=big, measure="train top-1") - found.number(variant=wide, measure="train top-1")
    val, told = _points(found, big, wide)
    text = f"train {train:+.1f}, val {val:+.1f}{'' if told else ' (may be chance)'}"
    return Answer(text, (train < 0 and val > 0) if told else None)


def _table3() -> Iterator[Row]:
    for name, errors in TABLE3.items():
        yield Row("TB3", name, slashed(*errors), "ablate", _variant(name))
    small, base = "alexnet-without-3-4-6-7", "alexnet"
    told = "told apart as [M3](methods.md#m3) says"
    yield Row(
        "TB3", "Smaller filters and strides in the first layers are better: AlexNet against ZFNet", "+2.1", "ablate",
        _worse((base, "zfnet")), f"AlexNet errs more (top-1), {told}", "C2",
    )  # fmt: skip
    yield Row(
        "TB3", "Depth is essential: without 3, 4, 6, 7 against without 3, 4 and without 6, 7", "+25.9, +26.5", "ablate",
        _worse((small, "alexnet-without-3-4"), (small, "alexnet-without-6-7")), f"it errs more than both, {told}", "C4",
    )  # fmt: skip
    yield Row(
        "TB3", "Layers 6 and 7 hold most parameters of AlexNet", "89.5 %", "architecture", _share,
        "more than half, of the full network for 1,000 classes", "C5",
    )  # fmt: skip
    yield Row(
        "TB3", "… and their removal costs little", "+4.3", "ablate", _little(5, ("alexnet-without-6-7", base)),
        "top-1 moves by at most 5 points", "C5",
    )  # fmt: skip
    yield Row(
        "TB3", "The width of layers 6 and 7 has little effect: 2048 and 8192, AlexNet and ZFNet",
        "+1.2, -0.5, +1.8, +0.4", "ablate",
        _little(2, *((f"{net}-fc-{units}", net) for net in (base, "zfnet") for units in (2048, 8192))),
        "top-1 moves by at most 2 points in all four", "C6",
    )  # fmt: skip
    yield Row(
        "TB3", "Wider layers 3 to 5 help: ZFNet against 512, 1024, 512", "+0.9", "ablate",
        _worse(("zfnet", "zfnet-wide")), f"ZFNet errs more, {told}", "C7",
    )  # fmt: skip
    yield Row(
        "TB3", "… wide layers 6 and 7 on top over-fit", "train -8.8, val +0.8", "ablate", _overfits,
        f"fewer train errors, more val errors than with wide 3 to 5 alone; {told}", "C7",
    )  # fmt: skip


def _accuracy(**which: Any) -> Read:
    return lambda found: Answer(spread(found.number(**which), found.rows("std", **which)[0]["std"]))


WHOLE: Mapping[str, Any] = {"crops": "centre", "measure": "accuracy", "class": None}  # not of one class


def _alone(network: str) -> Read:
    return lambda found: Answer(f"{found.number(network=network, **WHOLE):.1f}")


WHO = {OURS: FEATURES, SCRATCH: ALONE}
RUN_OF = {  # data set -> who -> the run that has it, with so many pictures of a class
    "Caltech-101": {OURS: "transfer", SCRATCH: "scratch {}"},
    "Caltech-256": {OURS: "caltech256", SCRATCH: "caltech256"},
}


def _caltech(id: str, data: str) -> Iterator[Row]:
    for who, levels in TABLES[data].items():
        run = RUN_OF[data].get(who)
        for train, (value, std) in levels.items():
            read = _accuracy(who=WHO[who], train=train, **HERE) if run else quoted
            yield Row(id, f"{who}, {train} of a class", spread(value, std), run and run.format(train), read)


def _above_scratch(found: Found) -> Answer:
    tuned, scratch = (found.number(network=name, **WHOLE) for name in ("finetune", "scratch"))
    return Answer(f"{tuned:.1f} against {scratch:.1f}", tuned - scratch >= 10)


def _folds_above_scratch(found: Found) -> Answer:
    gaps = {
        row["train"]: found.number(who=FEATURES, train=row["train"], **HERE) - row["value"]
        for row in found.rows("value", who=ALONE, **HERE)
    }
    text = ", ".join(f"{gap:+.1f} with {train}" for train, gap in sorted(gaps.items()))
    return Answer(text, min(gaps.values()) >= 10)


def _above_hog(found: Found) -> Answer:
    hog = {row["train"]: row["value"] for row in found.rows("value", who=HOG, **HERE)}
    gaps = {train: found.number(who=FEATURES, train=train, **HERE) - value for train, value in hog.items()}
    return Answer(
        ", ".join(f"{gap:+.1f} with {train}" for train, gap in sorted(gaps.items())), min(gaps.values()) >= 10
    )


def _table4() -> Iterator[Row]:
    yield from _caltech("TB4", "Caltech-101")
    for train in (15, 30):
        yield Row(
            "TB4",
            f"HOG and a linear support vector machine, {train} of a class",
            "–",
            f"hog {train}",
            _accuracy(who=HOG, train=train, **HERE),
        )
    for name, words in (
        ("zfnet128", "the bundled network, distilled from one that saw ImageNet"),
        ("finetune", "the earlier bundled network, fine-tuned"),
        ("scratch", "the same architecture from scratch"),
    ):
        yield Row("TB4", f"{words}, 30 of a class, one split, 101 classes", "–", "bundled", _alone(name))
    yield Row(
        "TB4", "Pre-trained features are far above training from scratch", "+61.0 with 15, +40.0 with 30", "scratch",
        _folds_above_scratch, "at least 10 points, with every number of pictures that both have", "C17",
    )  # fmt: skip
    yield Row(
        "TB4", "… and so is a pre-trained network that is fine-tuned", "not measured", "bundled", _above_scratch,
        "at least 10 points, 30 of a class, one split", "C17",
    )  # fmt: skip
    yield Row(
        "TB4", "Pre-trained features are far above a hand-crafted descriptor", "not measured", "hog", _above_hog,
        "at least 10 points above HOG, with every number of pictures that both have",
    )  # fmt: skip


def _curve(found: Found) -> Answer:
    points = {row["train"]: row["value"] for row in found.rows("value", who=FEATURES, **HERE)}
    return Answer(", ".join(f"{train}: {value:.1f}" for train, value in sorted(points.items())))


def _six_pictures(found: Found) -> Answer:
    six = found.number(who=FEATURES, train=6, **HERE)
    best = max(found.numbers(who=HOG, **HERE))
    return Answer(f"{six:.1f} against {best:.1f}", six > best)


def _crosses(found: Found) -> Answer:
    six = found.number(who=FEATURES, train=6, **HERE)
    return Answer(f"{six:.1f}", six > 55.2)


def _curves() -> Iterator[Row]:
    yield Row("F9", "Caltech-101, over the number of pictures of a class", "not measured", "transfer", _curve)
    yield Row(
        "F9", "Six pictures of a class of Caltech-256 beat the best published result with 60",
        "more than 55.2", "caltech256", _crosses, "accuracy with 6 above 55.2", "C18",
    )  # fmt: skip
    yield Row(
        "F9", "Its counterpart on Caltech-101: six pictures beat HOG with all it was given", "not measured", "hog",
        _six_pictures, "accuracy with 6 above the best of HOG",
    )  # fmt: skip


def _precision(name: str) -> Read:
    which = {"kind": "mean precision"} if name == "mean" else {"kind": "precision", "class": name}
    return lambda found: Answer(f"{found.number(who=FEATURES, **which):.1f}")


def _printed(found: Found) -> Answer:
    wins = [sum(max(row) == row[k] for row in VOC2012.values()) for k in range(3)]
    gap = VOC2012_MEAN[1] - VOC2012_MEAN[2]
    return Answer(
        f"{gap:.1f} points; {wins[0]} / {wins[1]} / {wins[2]} classes", wins == [0, 15, 5] and abs(gap - 3.2) < 0.05
    )


def _table6() -> Iterator[Row]:
    for name, values in VOC2012.items():
        yield Row("TB6", name, slashed(*values), "voc2012", _precision(name))
    yield Row("TB6", "mean", slashed(*VOC2012_MEAN), "voc2012", _precision("mean"))
    yield Row(
        "TB6", "The paper is 3.2 points below the best other and wins five classes", "3.2; 0 / 15 / 5", None,
        _printed, "counted again from the printed table", "C19",
    )  # fmt: skip


KINDS = {"svm": "SVM", "softmax": "softmax"}
STAGES = {1: "norm1", 2: "norm2", 3: "relu3", 4: "relu4", 5: "pool5", 7: "relu7"}


def _increases(found: Found) -> Answer:
    values = [found.number(layer=STAGES[n], classifier="svm") for n in (1, 2, 3, 4, 5)]
    return Answer(slashed(*values), rising(values))


def _last_best(found: Found) -> Answer:
    texts, best = [], []
    for kind, words in KINDS.items():
        values = {n: found.number(layer=layer, classifier=kind) for n, layer in STAGES.items()}
        best.append(max(values, key=values.__getitem__))
        texts.append(f"{words}: layer {best[-1]}")
    return Answer(", ".join(texts), all(n == 7 for n in best))


def _table7() -> Iterator[Row]:
    for (data, train), layers in LAYERWISE.items():
        for n, kinds in layers.items():
            for kind, (value, std) in kinds.items():
                run = "linear-probe" if data == "Caltech-101" else "caltech256-layers"
                read = _accuracy(layer=STAGES[n], classifier=kind)
                yield Row(
                    "TB7", f"{data}, {train} of a class: {KINDS[kind]} on layer {n}", spread(value, std), run, read
                )
    yield Row(
        "TB7", "Features improve with depth, layers 1 to 5", "44.8 / 66.2 / 72.3 / 76.6 / 86.2", "linear-probe",
        _increases, "no layer below the one before, support vector machines", "C20",
    )  # fmt: skip
    yield Row(
        "TB7", "… and the last layer is the best", "SVM: layer 5, softmax: layer 7", "linear-probe", _last_best,
        "layer 7 is, with both classifiers; not so in the published table either", "C20",
    )  # fmt: skip


TABLE_ROWS = (
    *_table1(),
    *_table2(),
    *_table3(),
    *_table4(),
    *_caltech("TB5", "Caltech-256"),
    *_curves(),
    *_table6(),
    *_table7(),
)
