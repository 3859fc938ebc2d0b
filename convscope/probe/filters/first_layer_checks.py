"""What the filters of one convolution are like, and what is wrong with them: a linter for first layers (METHODS F6).

    layer = measured("zfnet128", convolution(network.graph()))
    for finding in layer.findings: print(finding.words)

Every check is a row of `CHECKS` with its documented limit. Knows weights; what takes pictures is measured elsewhere and
filled in.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from convscope.probe.filters import spectrum
from convscope.probe.filters.filters import Bank

FIRES = 0.001  # a filter that responds in at most this share of the pictures is dead (METHODS F6)
DEAD, DOMINANT = 0.1, 5.0  # RMS, as a multiple of the median filter's, below and above which (METHODS F6)
LOW, HIGH = spectrum.BANDS
BROAD = 5  # pixels: the spectra of smaller filters are wider than the bands they would be sorted into

Severity = Literal["warning", "hint", "ok"]


@dataclass(frozen=True)
class Finding:
    """One check of one network: what was measured, where, its limit, and for an alarm why it matters and what to try.

    value and threshold in the check's own unit (see `CHECKS`); place names the filters concerned, or the layer.
    """

    network: str
    place: str
    code: str
    severity: Severity
    value: float
    threshold: float
    what: str
    why: str
    remedy: str

    @property
    def words(self) -> str:
        """All of it in a sentence or three."""
        return self.what if self.severity == "ok" else f"{self.what}. {self.why}. {self.remedy}."


@dataclass(frozen=True)
class FirstLayer:
    """What the filters of one convolution are like (METHODS F6). F filters over C channels, all on the CPU.

    filters (F, C, h, w) with a following batch normalisation folded in, stride (row, column). rms (F,). frequency (F,):
    mean radial frequency in cycles per pixel, NaN for a filter of zeros. bands (F, 3): shares of power below 0.10, to
    0.25, above. aliasing (F,): share of power that the stride folds over. twin (F,): largest |correlation| with any
    other filter, NaN where it has none. spectrum (S, S): the filters' mean power, shares; see `probe.spectrum.power`.
    orientation, selectivity (F,): how far the power gathers at one orientation and at some frequencies; floors: what
    95 % of filters of white noise stay below in each, None for filters below 5 x 5.
    From `pictures` pictures, None without: fires (F,): share of them that a filter responds to; shift: inconsistency
    under shifts of less than a stride, None for stride 1; grid: score of the second layer's projections (N, C, h, w).
    """

    network: str
    layer: str
    filters: Tensor
    stride: tuple[int, int]
    rms: Tensor
    frequency: Tensor
    bands: Tensor
    aliasing: Tensor
    twin: Tensor
    spectrum: Tensor
    orientation: Tensor
    selectivity: Tensor
    floors: tuple[float, float] | None
    pictures: int = 0
    fires: Tensor | None = None
    shift: float | None = None
    grid: float | None = None
    projections: Tensor | None = None

    @property
    def relative(self) -> Tensor:
        """RMS over that of the median filter (of those that are not zero, where most are): (F,)."""
        median = self.rms.median()
        return self.rms / (median if median > 0 else self.rms[self.rms > 0].median())

    @property
    def title(self) -> str:
        """Such as "zfnet128 conv1: 64 filters, 7 x 7, stride 2"."""
        high, wide = self.filters.shape[2:]
        stride = self.stride[0] if self.stride[0] == self.stride[1] else " x ".join(map(str, self.stride))
        return f"{self.network} {self.layer}: {len(self.filters)} filters, {high} x {wide}, stride {stride}"

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every check that could be made, in the order of `CHECKS`."""
        return tuple(finding for check in CHECKS if (finding := check(self)) is not None)


def measured(name: str, bank: Bank) -> FirstLayer:
    """What the weights alone tell."""
    shares = spectrum.power(bank.filters)
    live = shares[bank.rms > 0]
    return FirstLayer(
        network=name,
        layer=bank.layer,
        filters=bank.filters,
        stride=bank.stride,
        rms=bank.rms,
        frequency=spectrum.centroid(shares),
        bands=spectrum.bands(shares),
        aliasing=spectrum.folded(shares, bank.stride),
        twin=_twins(bank),
        spectrum=live.mean(0),
        orientation=spectrum.orientation_selectivity(shares),
        selectivity=spectrum.frequency_selectivity(shares),
        floors=spectrum.noise_floors(int(bank.own.sum(1).max()), *bank.kernel) if max(bank.kernel) >= BROAD else None,
    )


def _twins(bank: Bank) -> Tensor:
    """Largest |normalised correlation| of each filter with any other, (F,); NaN for constant ones, and for a single."""
    own = bank.own[:, :, None, None].expand_as(bank.filters)
    mean = bank.filters.sum((1, 2, 3), keepdim=True) / own.sum((1, 2, 3), keepdim=True)
    flat = ((bank.filters - mean) * own).flatten(1)
    size = flat.norm(dim=1, keepdim=True)
    varies = size[:, 0] > 1e-9 * bank.filters.abs().max()
    alike = (flat @ flat.T / (size * size.T).clamp_min(1e-300)).abs().clamp(max=1).fill_diagonal_(-1)
    alike[:, ~varies] = -1
    best = alike.amax(1)
    return torch.where(varies & (best >= 0), best, torch.full_like(best, math.nan))


@dataclass(frozen=True)
class Check:
    """One measure with its limit. It sounds an alarm above the limit, or, with `least`, below it.

    `measure` gives the value, None where there was nothing to measure it on; `where` the filters concerned, for checks
    that blame single ones. The texts may use {value}, {limit}, {stride}, and {finer} and {smaller}, what to try.
    """

    code: str
    severity: Severity
    limit: float
    measure: Callable[[FirstLayer], float | None]
    what: str
    why: str
    remedy: str
    least: bool = False
    where: Callable[[FirstLayer], Tensor] | None = None

    @property
    def bound(self) -> str:
        """The limit in words."""
        return f"at {'least' if self.least else 'most'} {self.limit:.3g}"

    def __call__(self, layer: FirstLayer) -> Finding | None:
        """The finding, also where all is well."""
        value = self.measure(layer)
        if value is None or math.isnan(value):
            return None
        alarm = value < self.limit if self.least else value > self.limit
        blamed = _numbers(self.where(layer).nonzero()[:, 0].tolist()) if alarm and self.where else ""
        facts = {
            "value": value,
            "limit": self.limit,
            "stride": max(layer.stride),
            "finer": _finer(layer),
            "smaller": _smaller(layer),
        }
        what, why, remedy = (text.format(**facts) for text in (self.what, self.why, self.remedy))
        place = f"{layer.layer}:{blamed}" if blamed else layer.layer
        what += f": filter{'s' * (',' in blamed)} {blamed}" if blamed else ""
        severity = self.severity if alarm else "ok"
        return Finding(layer.network, place, self.code, severity, value, self.limit, what, why, remedy)


def _finer(layer: FirstLayer) -> str:
    """Half the stride, in words."""
    stride = max(layer.stride)
    return f"stride {max(1, stride // 2)} instead of {stride}"


def _smaller(layer: FirstLayer) -> str:
    """Filters of about two thirds, and half the stride, in words."""
    kernel = max(layer.filters.shape[2:])
    side = max(3, kernel * 2 // 3 // 2 * 2 + 1)
    words = [f"filters of {side} x {side} instead of {kernel} x {kernel}"] * (side < kernel)
    return " and ".join(words + [_finer(layer)] * (max(layer.stride) > 1)) or "more training"


def _numbers(filters: Sequence[int], most: int = 12) -> str:
    shown = ", ".join(map(str, filters[:most]))
    return shown if len(filters) <= most else f"{shown} and {len(filters) - most} more"


def _share(chosen: Tensor) -> float:
    return float(chosen.double().mean())


def _narrow(layer: FirstLayer) -> bool:
    """Whether the filters are large enough to have a frequency."""
    return max(layer.filters.shape[2:]) >= BROAD


def _sorted_share(layer: FirstLayer, chosen: Tensor) -> float | None:
    return _share(chosen) if _narrow(layer) else None


def _above_noise(layer: FirstLayer, values: Tensor, place: int) -> float | None:
    """Share of the filters whose value lies above that of the floors; None where there are none."""
    return None if layer.floors is None else _share(values > layer.floors[place])


def _silent(layer: FirstLayer) -> Tensor:
    assert layer.fires is not None
    return layer.fires <= FIRES


CHECKS = (
    Check(
        "dominant",
        "warning",
        DOMINANT,
        lambda layer: float(layer.relative.max()),
        "the strongest filter's weights are {value:.3g} times the median filter's (RMS; at most {limit:g})",
        "a filter that outshouts the others decides what every later layer sees, and takes most of the gradient",
        "scale filters back to an RMS of at most 0.1 after every update (train --set radius=0.1), or lower the rate",
        where=lambda layer: layer.relative > DOMINANT,
    ),
    Check(
        "dead-weight",
        "warning",
        0.0,
        lambda layer: _share(layer.relative < DEAD),
        "{value:.1%} of the filters have next to no weight (RMS below a tenth of the median's)",
        "they cost time and memory and tell later layers nothing",
        "train with fewer filters, or with a lower rate or weight decay; filters can starve beside a dominant one",
        where=lambda layer: layer.relative < DEAD,
    ),
    Check(
        "dead-activity",
        "warning",
        0.0,
        lambda layer: None if layer.fires is None else _share(_silent(layer)),
        "{value:.1%} of the filters respond to at most one picture in a thousand",
        "behind the rectifier they are zero, get no gradient, and will not recover by themselves",
        "lower the rate or its first steps (warm-up), start with biases at 0, or normalise the inputs",
        where=_silent,
    ),
    Check(
        "mid-frequencies",
        "warning",
        0.25,
        lambda layer: _sorted_share(layer, (layer.frequency >= LOW) & (layer.frequency <= HIGH)),
        "{value:.0%} of the filters are centred on the middle, 0.10 to 0.25 cycles a pixel (at least {limit:.0%})",
        "edges and textures live there; what the first layer leaves out no later layer can put back",
        "{smaller}",
        least=True,
    ),
    Check(
        "high-frequencies",
        "hint",
        0.5,
        lambda layer: _sorted_share(layer, layer.frequency > HIGH),
        "{value:.0%} of the filters are centred above 0.25 cycles a pixel (at most {limit:.0%})",
        "that is what noise looks like: the first random weights, not yet trained away, or fitted noise",
        "train longer or with a higher rate at first; with weight decay; from smaller first weights",
    ),
    Check(
        "coverage",
        "hint",
        1 / 3,  # two of the histogram's eight bins, equally full
        lambda layer: spectrum.spread(layer.frequency) if _narrow(layer) else None,
        "the filters' mean frequencies have an entropy of {value:.2f} of 1 (at least {limit:.2f}: two of eight bins)",
        "filters that share one frequency see one scale of the picture only",
        "train longer; vary the size of filters (several stems); see `redundancy` for how many there are in effect",
        least=True,
    ),
    Check(
        "oriented",
        "hint",
        0.5,  # a third of grey noise passes the floor; blots of one colour have no orientation and are of use too
        lambda layer: _above_noise(layer, layer.orientation, 0),
        "{value:.0%} of the filters are more oriented than 95% of random ones (at least {limit:.0%})",
        "edges and gratings have an orientation; random weights, and blots of one colour, have next to none",
        "train longer or with a higher rate at first; with weight decay; on larger pictures",
        least=True,
    ),
    Check(
        "frequency-selective",
        "hint",
        0.75,  # half of grey noise passes the floor
        lambda layer: _above_noise(layer, layer.selectivity, 1),
        "{value:.0%} of the filters are more selective for frequency than 95% of random ones (at least {limit:.0%})",
        "a filter that answers to all frequencies alike is noise: the first random weights, or fitted noise",
        "train longer or with a higher rate at first; with weight decay; from smaller first weights",
        least=True,
    ),
    Check(
        "aliasing",
        "warning",
        0.25,
        lambda layer: None if max(layer.stride) == 1 else float(layer.aliasing[layer.rms > 0].mean()),
        "{value:.0%} of the filters' power lies above what stride {stride} can carry (at most {limit:.0%})",
        "it comes back disguised as low frequencies, and changes when the picture moves by a pixel",
        "{finer}, or a blur before the subsampling",
    ),
    Check(
        "shift",
        "hint",
        0.15,
        lambda layer: layer.shift,
        "shifts of less than a stride change the responses by {value:.0%} of their size (at most {limit:.0%})",
        "what a unit says then depends on where the grid happens to lie, not on the picture",
        "{finer}, or a blur before the subsampling",
    ),
    Check(
        "grid",
        "warning",
        4.0,
        lambda layer: layer.grid,
        "projections of the second layer show a grid of period {stride}: {value:.3g} times the power around it "
        "(at most {limit:g})",
        "the second layer has learnt the sampling grid of the first beside the picture",
        "{smaller}",
    ),
    Check(
        "distinctiveness",
        "hint",
        0.005,
        lambda layer: 1 - float(layer.twin.nanmean()),
        "filters differ from their nearest twin by {value:.2g} on average (1 - |correlation|; at least {limit:g})",
        "copies of one filter spend what one could do",
        "fewer filters, other first weights for each; see `redundancy` for which repeat which",
        least=True,
    ),
)
