"""F2's three measures of what one sees in Figure 2: do projections agree, are maps selective, is energy gathered?

Plain arrays in, numbers out; knows nothing of files or figures.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from convscope.errors import ArgumentError

Pixels = NDArray[np.uint8]

SHARE = 0.1  # of the pixels, in which energy is counted as gathered


def _centred(pictures: Pixels) -> NDArray[np.float64]:
    """(n, h, w, 3) as rows without their mean per channel, (n, h·w·3)."""
    values = np.asarray(pictures, np.float64)
    if values.ndim != 4 or values.shape[3] != 3:
        raise ArgumentError("pictures", values.shape, "expected (n, h, w, 3)")
    n, h, w, channels = values.shape
    rows: NDArray[np.float64] = (values - values.mean((1, 2), keepdims=True)).reshape(n, h * w * channels)
    return rows


def agreement(pictures: Pixels) -> float | None:
    """Mean normalised cross-correlation over all pairs of pictures (n, h, w, 3), in [-1, 1] (F2, proxy i).

    Pictures of one colour have none and are left out; None when fewer than two are left.
    """
    rows = _centred(pictures)
    norms = np.linalg.norm(rows, axis=1)
    rows = rows[norms > 0] / norms[norms > 0, None]
    if len(rows) < 2:
        return None
    pairs = rows @ rows.T
    return float(pairs[np.triu_indices(len(rows), 1)].mean())


def purity(labels: Sequence[object]) -> float | None:
    """The share of the most frequent label, in (0, 1] (F2, proxy ii); None without labels."""
    known = [label for label in labels if label is not None]
    return Counter(known).most_common(1)[0][1] / len(known) if known else None


def concentration(pictures: Pixels) -> float | None:
    """Share of the energy in the most energetic tenth of the pixels, mean over pictures (n, h, w, 3) (F2, proxy iii).

    Energy is the squared deviation from the picture's mean, summed over channels: the same for patches and
    projections. None when every picture is of one colour.
    """
    rows = _centred(pictures)
    energy = np.sort((rows.reshape(*rows.shape[:1], rows.shape[1] // 3, 3) ** 2).sum(2), axis=1)[:, ::-1]
    total = energy.sum(1)
    count = max(1, round(SHARE * energy.shape[1]))
    shares = energy[total > 0, :count].sum(1) / total[total > 0]
    return float(shares.mean()) if len(shares) else None
