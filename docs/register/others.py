"""The architectures, the student paper, activation maximisation, inversion, concepts (METHODS M, P, A, I, N)."""

from collections.abc import Iterator
from statistics import fmean

from register.rows import Answer, Read, Row, mean, rising, slashed
from register.runs import Found

COUNTS = {  # METHODS M1 to M3: parameters for 1,000 classes
    "alexnet": 60_965_224,
    "alexnet-without-3-4": 59_268_712,
    "alexnet-without-7": 44_183_912,
    "alexnet-without-6-7": 11_551_080,
    "alexnet-without-3-4-6-7": 9_854_568,
    "alexnet-fc-2048": 27_455_848,
    "alexnet-fc-8192": 153_149_800,
    "zfnet": 62_357_608,
    "zfnet-fc-2048": 28_848_232,
    "zfnet-fc-8192": 154_542_184,
    "zfnet-wide": 107_627_624,
    "zfnet-wide-fc-8192": 237_560_936,
}
SIZES = "110, 55, 26, 13, 13, 13, 13, 6"  # METHODS M1: conv1, pool1, conv2, pool2, conv3, conv4, conv5, pool5


def _count(name: str) -> Read:
    return lambda found: Answer(f"{found.number(network=name, measure='parameters'):,.0f}")


def _sizes(found: Found) -> Answer:
    text = ", ".join(f"{size:.0f}" for size in found.numbers(network="zfnet", measure="side"))
    return Answer(text, text == SIZES)


def _architectures() -> Iterator[Row]:
    yield Row(
        "M1", "The sizes of ZFNet's maps: conv1, pool1, conv2, pool2, conv3, conv4, conv5, pool5", SIZES,
        "architecture", _sizes, "the same",
    )  # fmt: skip
    for name, count in COUNTS.items():
        yield Row("M3", f"{name}: parameters", f"{count:,}", "architecture", _count(name))


def _student(network: str, part: str) -> Read:
    def read(found: Found) -> Answer:
        last = max(row["epoch"] for row in found.rows("epoch", network=network))
        return Answer(f"{found.number(network=network, epoch=last, measure=f'{part} accuracy'):.3f}")

    return read


def _above_chance(found: Found) -> Answer:
    own = {"network": "m6", "measure": "test accuracy"}
    value, count = found.number(**own), found.number("pictures", **own)
    limit = 0.2 + 3 * (0.2 * 0.8 / count) ** 0.5
    return Answer(f"{value:.3f} against {limit:.3f}", value > limit)


def _digits(found: Found) -> Answer:
    values = found.numbers(network="m5-A", measure="test accuracy")
    return Answer(f"{values[-1]:.3f}", values[-1] >= 0.975)


def _students() -> Iterator[Row]:
    for id, network, words, (train, test) in (
        ("M5", "m5-A", "option A", (0.991, 0.982)),
        ("M5", "m5-C", "option C", (0.991, 0.982)),
        ("M6", "m6", "option A", (0.879, 0.801)),
    ):
        yield Row(id, f"{words}: train accuracy", f"{train:.3f}", "student", _student(network, "train"))
        yield Row(id, f"{words}: test accuracy", f"{test:.3f}", "student", _student(network, "test"))
    yield Row(
        "M5", "A convnet this small tells handwritten digits apart", "0.982", "student", _digits,
        "test accuracy at least 0.975, option A",
    )  # fmt: skip
    yield Row(
        "M6", "Five classes are learned in five epochs", "0.801", "student", _above_chance,
        "test accuracy above chance, 0.2, by three binomial deviations",
    )  # fmt: skip
    yield Row(
        "M7", "VGG16 on the same five classes", "0.927", "vgg16", lambda found: Answer(f"{found.number():.3f}"),
    )  # fmt: skip


def _seeds_differ(found: Found) -> Answer:
    alike = mean(found, "agreement", run="p5-noise")
    return Answer(f"{alike:.2f}", alike < 0.5)


def _starts(key: str, sign: int) -> Read:
    """Whether, of every class, optima from noise (sign 1) or from the class mean (-1) have more of something."""

    def read(found: Found) -> Answer:
        pairs = [
            (mean(found, key, run="p5-noise", target=row["target"]), row[key]) for row in found.rows(key, run="p5-mean")
        ]
        text = "; ".join(f"{noise:.2f} from noise, {start:.2f} from the mean" for noise, start in pairs)
        return Answer(text, all(sign * (noise - start) > 0 for noise, start in pairs))

    return read


def _seen(found: Found) -> Answer:
    layers = dict.fromkeys(row["layer"] for row in found.rows("inactive"))
    counts = [(layer, found.rows("inactive", layer=layer)) for layer in layers]
    text = ", ".join(
        f"{sum(row['inactive'] for row in rows)} of {len(rows)} inactive at {layer}" for layer, rows in counts
    )
    return Answer(text)


def _channels(key: str) -> Read:
    """Whether optima of channels have more of something with every layer; of the first the most for colours."""

    def read(found: Found) -> Answer:
        values = [mean(found, key, layer=f"relu{n}", status="done") for n in range(1, 6)]
        grows = rising(values) if key == "frequency" else max(values) == values[0]
        return Answer(slashed(*values, digits=2), grows)

    return read


def _repeated(found: Found) -> Answer:
    share, chance, before, after = (
        found.number(measure=name) for name in ("redundancy", "chance", "accuracy before", "accuracy after")
    )
    text = f"{100 * share:.1f} % against {100 * chance:.1f} %; accuracy {before:.1f} → {after:.1f} % without them"
    return Answer(text, share > chance)


def _network() -> Iterator[Row]:
    yield Row(
        "P1", "A small network can be read by plotting what its layers give", "in pictures only", "digit", _seen,
        "none in numbers: it is for the eye to say", "C25",
    )  # fmt: skip
    yield Row(
        "P2", "The first layer's channels are for colours", "in pictures only", "channels", _channels("colourfulness"),
        "their optima are the most colourful of relu1 to relu5", "C23",
    )  # fmt: skip
    yield Row(
        "P2", "… deeper ones for patterns, the last for textures", "in pictures only", "channels",
        _channels("frequency"),
        "the mean frequency of their optima falls from no layer to the next, and rises from relu1 to relu5", "C23",
    )  # fmt: skip
    yield Row(
        "P6", "Some filters are equal up to colour or rotation", "in words only", "redundancy", _repeated,
        "more of them than of random filters of the same size", "C26",
    )  # fmt: skip


def _schedules(pairs: tuple[tuple[str, str], ...]) -> Read:
    """Whether the errors of each two trainings lie within two points."""

    def read(found: Found) -> Answer:
        errors = [[found.number(training=name, measure="val top-1") for name in pair] for pair in pairs]
        return Answer("; ".join(map(_two, errors)), all(abs(a - b) <= 2 for a, b in errors))

    return read


def _two(pair: list[float]) -> str:
    return slashed(*pair)


def _training() -> Iterator[Row]:
    yield Row(
        "M9", "Contrast normalisation lowers top-1 and top-5 errors", "-1.4 / -1.2", "normalisation", _normalised,
        "top-1 is lower with it, told apart as [M3](methods.md#m3) says",
    )  # fmt: skip
    yield Row(
        "T6", "A plateau schedule, the paper's, and a cosine come to the same", "not measured", "schedule",
        _schedules((("plateau-none", "cosine-none"), ("plateau-0.1", "cosine-0.1"))),
        "top-1 within 2 points, without renormalisation and with it",
    )  # fmt: skip
    yield Row(
        "T9", "Renormalising filters costs no accuracy", "not measured", "schedule",
        _schedules((("plateau-none", "plateau-0.1"), ("cosine-none", "cosine-0.1"))),
        "top-1 within 2 points, with both schedules",
    )  # fmt: skip


def _normalised(found: Found) -> Answer:
    measures = ("val top-1", "val top-5")
    apart = [found.number(variant="zfnet", measure=m) - found.number(variant=PLAIN, measure=m) for m in measures]
    told = found.rows("than")[0]["separated"]
    text = " / ".join(f"{points:+.1f}" for points in apart) + ("" if told else " (may be chance)")
    return Answer(text, apart[0] < 0 if told else None)


PLAIN = "zfnet:norm=false"


def _optima() -> Iterator[Row]:
    yield Row(
        "A1", "The optimum depends on where the ascent starts: five seeds", "not measured", "maximize", _seeds_differ,
        "the blurred optima of a class correlate by less than 0.5, M6", "C21",
    )  # fmt: skip
    yield Row(
        "P3", "Starting from noise keeps texture", "in pictures only", "maximize", _starts("fine", 1),
        "from noise a larger share of fine detail, every class of P5", "C24",
    )  # fmt: skip
    yield Row(
        "P3", "… starting from the class mean keeps colour", "in pictures only", "maximize",
        _starts("colourfulness", -1), "from the mean more colourful, every class of P5", "C24",
    )  # fmt: skip


def _errors(found: Found, angle: int) -> dict[str, float]:
    """The mean error of the quadratic prediction, by layer in the order of the network."""
    layers = dict.fromkeys(row["layer"] for row in found.rows("layer"))
    return {layer: mean(found, f"error {angle}°", layer=layer) for layer in layers}


def _quadratic(found: Found) -> Answer:
    errors = _errors(found, 30)
    text = ", ".join(f"{layer} {error:.2g}" for layer, error in errors.items())
    first, *_, last = errors.values()
    return Answer(text, last > first)


def _curvature() -> Iterator[Row]:
    yield Row(
        "A5", "Around its optimum a unit of a high layer is not well described by a quadratic form", "in words only",
        "curvature", _quadratic,
        "the error of the prediction at 30° is larger at the last layer than at the first", "C22",
    )  # fmt: skip


def _distances(found: Found, method: str) -> dict[str, float]:
    """The mean distance of what was made again from the picture, by layer in the order of the network."""
    layers = dict.fromkeys(row["source"] for row in found.rows(kind="layer", method=method))
    return {layer: mean(found, "distance", source=layer, method=method) for layer in layers}


def _less_and_less(found: Found) -> Answer:
    values = list(_distances(found, "gradient").values())
    third = len(values) // 3
    low, middle, high = fmean(values[:third]), fmean(values[third : 2 * third]), fmean(values[2 * third :])
    return Answer(f"{low:.2f} / {middle:.2f} / {high:.2f}", rising([low, middle, high]))


def _decoders(found: Found) -> Answer:
    descent, decoded = _distances(found, "gradient"), _distances(found, "upconvnet")
    text = "; ".join(f"{layer}: {decoded[layer]:.2f} against {descent[layer]:.2f}" for layer in descent)
    last = list(descent)[-1]
    return Answer(text, decoded[last] < descent[last])


def _inversions() -> Iterator[Row]:
    yield Row(
        "I1", "What a layer holds of the picture falls with depth", "in pictures only", "invert", _less_and_less,
        "the mean distance to the picture rises over the thirds of the network",
    )  # fmt: skip
    yield Row(
        "I2", "For high layers decoders come nearer to the picture than descent", "in words only", "decoders",
        _decoders, "a smaller mean distance from the highest layer", "C28",
    )  # fmt: skip


def _unique(found: Found) -> Answer:
    layers = [(row["layer"], row["unique"], row["unique rotated"]) for row in found.rows("unique")]
    text = ", ".join(f"{own} and {rotated:.1f} at {layer}" for layer, own, rotated in layers)
    return Answer(text, all(own > rotated for _, own, rotated in layers))


def _combined(found: Found) -> Answer:
    rows = found.rows("iou", "iou one filter")
    better = sum(row["iou"] > row["iou one filter"] for row in rows)
    return Answer(f"{better} of {len(rows)} concepts", better > len(rows) / 2)


def _concepts() -> Iterator[Row]:
    yield Row(
        "N1", "Units match more different concepts than the same layer in a random basis", "in words only", "dissect",
        _unique, "more unique concepts at every layer",
    )  # fmt: skip
    yield Row(
        "N4", "Concepts are coded by combinations of filters", "in words only", "net2vec", _combined,
        "of more than half of the concepts all filters together have a larger IoU than the best one", "C27",
    )  # fmt: skip


OTHER_ROWS = (
    *_architectures(),
    *_students(),
    *_training(),
    *_network(),
    *_optima(),
    *_curvature(),
    *_inversions(),
    *_concepts(),
)
