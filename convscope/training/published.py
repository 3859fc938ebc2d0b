"""What Zeiler and Fergus published, in per cent, to stand beside ours (METHODS TB2 to TB7).

Errors are of 224-pixel pictures of ImageNet 2012, accuracies of classifiers on features that were learnt from them.
Knows nothing of networks.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Errors(NamedTuple):
    """A row of Table 3, in per cent."""

    train: float  # top-1
    top1: float
    top5: float


# Table 3 (METHODS TB3), by the names of `models.variants.VARIANTS`.
TABLE3: Mapping[str, Errors] = {
    "alexnet": Errors(35.1, 40.5, 18.1),
    "alexnet-without-3-4": Errors(41.8, 45.4, 22.1),
    "alexnet-without-7": Errors(27.4, 40.0, 18.4),
    "alexnet-without-6-7": Errors(27.4, 44.8, 22.4),
    "alexnet-without-3-4-6-7": Errors(71.1, 71.3, 50.1),
    "alexnet-fc-2048": Errors(40.3, 41.7, 18.8),
    "alexnet-fc-8192": Errors(26.8, 40.0, 18.1),
    "zfnet": Errors(33.1, 38.4, 16.5),
    "zfnet-fc-2048": Errors(38.2, 40.2, 17.6),
    "zfnet-fc-8192": Errors(22.0, 38.8, 17.0),
    "zfnet-wide": Errors(18.8, 37.5, 16.0),
    "zfnet-wide-fc-8192": Errors(10.0, 38.3, 16.9),
}

# Table 2 (METHODS TB2): validation top-1, validation top-5, test top-5; None where none was published. Starred: also
# trained on ImageNet 2011.
TABLE2: Mapping[str, tuple[float | None, float | None, float | None]] = {
    "Gunji et al. 2012": (None, None, 26.2),
    "Krizhevsky et al., 1 convnet": (40.7, 18.2, None),
    "Krizhevsky et al., 5 convnets": (38.1, 16.4, 16.4),
    "Krizhevsky et al.*, 1 convnet": (39.0, 16.6, None),
    "Krizhevsky et al.*, 7 convnets": (36.7, 15.4, 15.3),
    "their replication, 1 convnet": (40.5, 18.1, None),
    "ZFNet": (38.4, 16.5, None),
    "5 ZFNets (a)": (36.7, 15.3, 15.3),
    "ZFNet with 512, 1024, 512 maps (b)": (37.5, 16.0, 16.1),
    "6 convnets (a) + (b)": (36.0, 14.7, 14.8),
}

Value = tuple[float, float | None]

OURS, SCRATCH = "ImageNet-pretrained convnet", "convnet from scratch"  # the paper's own rows

# Tables 4 and 5 (METHODS TB4, TB5): data set -> who -> pictures of a class to train on -> accuracy, deviation or None.
TABLES: Mapping[str, Mapping[str, Mapping[int, Value]]] = {
    "Caltech-101": {
        OURS: {15: (83.8, 0.5), 30: (86.5, 0.5)},
        SCRATCH: {15: (22.8, 1.5), 30: (46.5, 1.7)},
        "Bo et al. 2013": {30: (81.4, 0.33)},
        "Jianchao et al. 2009": {15: (73.2, None), 30: (84.3, None)},
    },
    "Caltech-256": {
        OURS: {15: (65.7, 0.2), 30: (70.6, 0.2), 45: (72.7, 0.4), 60: (74.2, 0.3)},
        SCRATCH: {15: (9.0, 1.4), 30: (22.5, 0.7), 45: (31.2, 0.5), 60: (38.8, 1.4)},
        "Sohn et al. 2011": {15: (35.1, None), 30: (42.1, None), 45: (45.7, None), 60: (47.9, None)},
        "Bo et al. 2013": {15: (40.5, 0.4), 30: (48.0, 0.2), 45: (51.9, 0.2), 60: (55.2, 0.3)},
    },
}

# Table 7 (METHODS TB7): (data set, pictures of a class to train on) -> layer, from 1 -> classifier; no layer 6.
LAYERWISE: Mapping[tuple[str, int], Mapping[int, Mapping[str, Value]]] = {
    ("Caltech-101", 30): {
        1: {"svm": (44.8, 0.7)},
        2: {"svm": (66.2, 0.5)},
        3: {"svm": (72.3, 0.4)},
        4: {"svm": (76.6, 0.4)},
        5: {"svm": (86.2, 0.8), "softmax": (82.9, 0.4)},
        7: {"svm": (85.5, 0.4), "softmax": (85.4, 0.4)},
    },
    ("Caltech-256", 60): {
        1: {"svm": (24.6, 0.4)},
        2: {"svm": (39.6, 0.3)},
        3: {"svm": (46.0, 0.3)},
        4: {"svm": (51.3, 0.1)},
        5: {"svm": (65.6, 0.3), "softmax": (65.7, 0.5)},
        7: {"svm": (71.7, 0.2), "softmax": (72.6, 0.1)},
    },
}

# Table 6 (METHODS TB6): class -> average precision of Sande et al. 2012, Yan et al. 2012 and the paper. Cow and dining
# table are printed alike for the first two, so one of them is a slip; the means are as printed.
VOC2012: Mapping[str, tuple[float, float, float]] = {
    "aeroplane": (92.0, 97.3, 96.0),
    "bicycle": (74.2, 84.2, 77.1),
    "bird": (73.0, 80.8, 88.4),
    "boat": (77.5, 85.3, 85.5),
    "bottle": (54.3, 60.8, 55.8),
    "bus": (85.2, 89.9, 85.8),
    "car": (81.9, 86.8, 78.6),
    "cat": (76.4, 89.3, 91.2),
    "chair": (65.2, 75.4, 65.0),
    "cow": (63.2, 77.8, 74.4),
    "diningtable": (63.2, 77.8, 67.7),
    "dog": (68.9, 83.0, 87.8),
    "horse": (78.2, 87.5, 86.0),
    "motorbike": (81.0, 90.1, 85.1),
    "person": (91.6, 95.0, 90.9),
    "pottedplant": (55.9, 57.8, 52.2),
    "sheep": (69.4, 79.2, 83.6),
    "sofa": (65.4, 73.4, 61.1),
    "train": (86.7, 94.5, 91.8),
    "tvmonitor": (77.4, 80.7, 76.1),
}
VOC2012_MEAN = (74.3, 82.2, 79.0)


def table2() -> list[dict[str, Any]]:
    """Table 2 as rows like those of `Evaluation.rows`."""
    measures = ("top-1 error", "top-5 error", "test top-5 error")
    return [
        {"network": name, "crops": "published", "measure": measure, "class": None, "value": value}
        for name, row in TABLE2.items()
        for measure, value in zip(measures, row, strict=True)
        if value is not None
    ]
