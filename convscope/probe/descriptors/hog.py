"""Histograms of oriented gradients, every step of them differentiable (METHODS I3).

    blocks = hog(x)                    # R-HOG, (N, rows, columns, 2, 2, 9): 3,780 numbers for 128 x 64 pixels
    cells = uoctti(x)                  # signed and unsigned bins and texture, (N, 31, rows, columns)
    drawn = glyphs(uoctti(x)[:, 18:27])

Pictures are (N, C, H, W) with values of 0 to 1; of several channels each pixel takes the one with the largest gradient.
With `soft=False` R-HOG is scikit-image's. Knows nothing of networks.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.errors import ArgumentError

EPSILON = 1e-5  # in the norms of blocks
CLIP = 0.2  # of L2-Hys and of UoCTTI
TEXTURE = 0.2357  # UoCTTI's weight of a cell's energy under each of its four norms
DOMINANT = 0.8  # of the largest bin: what else counts as a dominant orientation (our reading)


def hog(x: Tensor, *, cell: int = 8, block: int = 2, bins: int = 9, soft: bool = True, root: bool = False) -> Tensor:
    """R-HOG of Dalal and Triggs, (N, rows, columns, block, block, bins): blocks of cells of `cell` x `cell` pixels, one
    cell apart, each normalised with L2-Hys.

    Pixels vote with the size of their gradient for its direction, unsigned, 0 to 180 degrees in `bins`. `soft`: votes
    are shared between neighbouring bins and cells, and weighed by a Gaussian of half a block's width; otherwise each
    goes to one. `root`: of the square root of the values. Raises ArgumentError for a picture smaller than a block.
    """
    for name, value in (("cell", cell), ("block", block), ("bins", bins)):
        if value < 1:
            raise ArgumentError(name, value, "expected at least 1")
    _require(x, cell * block, block)
    if root and bool((x < 0).any()):
        raise ArgumentError("root", root, "of values below 0: expected pictures of 0 to 1")
    given = votes(x.sqrt() if root else x, bins, signed=False, soft=soft)
    kernel = _shares(cell, block, soft).to(given)
    found = F.conv2d(given.flatten(0, 1)[:, None], kernel, stride=cell)  # (N * bins, block², rows, columns)
    found = found.view(len(x), bins, *found.shape[1:]).permute(0, 3, 4, 2, 1)  # (N, rows, columns, block², bins)
    found = _unit(_unit(found).clamp(max=CLIP))
    return found.reshape(*found.shape[:3], block, block, bins)


def uoctti(x: Tensor, *, cell: int = 8) -> Tensor:
    """The variant of Felzenszwalb et al., (N, 31, rows, columns), which inversions use: 18 signed directions, the 9
    unsigned ones that they make two by two, and 4 of texture.

    Votes are shared between bins and cells; a cell is normalised by the energy of the four squares of 2x2 cells around
    it (at the border the last cells count again), clipped, and the four are averaged. Raises ArgumentError for a
    picture smaller than a cell.
    """
    if cell < 2 or cell % 2:
        raise ArgumentError("cell", cell, "expected an even number, at least 2")
    _require(x, cell, 1)
    given = votes(x, 18, signed=True, soft=True)
    tent = _tent(2 * cell, cell).to(given)
    kernel = (tent[:, None] * tent)[None, None] / cell**2
    signed = F.conv2d(given.flatten(0, 1)[:, None], kernel, stride=cell, padding=cell // 2)
    signed = signed.view(len(x), 18, *signed.shape[2:])
    unsigned = signed[:, :9] + signed[:, 9:]
    energy = F.pad(unsigned.square().sum(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    norms = (4 * F.avg_pool2d(energy, 2, 1) + EPSILON**2).sqrt()
    rows, columns = signed.shape[2:]
    four = [norms[:, :, i : i + rows, j : j + columns] for i in (0, 1) for j in (0, 1)]
    clipped = torch.stack([(torch.cat([signed, unsigned], 1) / norm).clamp(max=CLIP) for norm in four])
    return torch.cat([clipped.sum(0) / 2, TEXTURE * clipped[:, :, :18].sum(2).transpose(0, 1)], 1)


def oriented_hog(x: Tensor, *, bins: int = 36, threshold: float = DOMINANT) -> list[tuple[Tensor, Tensor]]:
    """Of each picture: its dominant directions in degrees (K,), strongest first, and for each the histogram of signed
    directions (K, bins) turned so that this one comes first. Turning the picture changes the angles only.

    Not HOG but a recipe like SIFT's that goes by its name: gradients weighed by a Gaussian, one histogram, its local
    maxima of at least `threshold` of the largest. A picture without contrast has none.
    """
    if bins < 3:
        raise ArgumentError("bins", bins, "expected at least 3")
    if not 0 < threshold <= 1:
        raise ArgumentError("threshold", threshold, "expected above 0, to 1")
    _require(x, 3, 1)
    weight = _bell(x.shape[2])[:, None] * _bell(x.shape[3])
    histograms = (votes(x, bins, signed=True, soft=True) * weight.to(x)).sum((2, 3))  # (N, bins)
    return [_turned(histogram, threshold) for histogram in histograms]


def _turned(histogram: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    bins = len(histogram)
    peaks = (histogram > histogram.roll(1)) & (histogram >= histogram.roll(-1))
    peaks &= histogram >= threshold * histogram.max()
    order = (histogram * peaks).argsort(descending=True, stable=True)[: int(peaks.sum())]
    turned = torch.stack([histogram.roll(-k) for k in order.tolist()]) if len(order) else histogram.new_zeros(0, bins)
    return (order + 0.5) * (360 / bins), _unit(turned)


def glyphs(strengths: Tensor, side: int = 16) -> Tensor:
    """Cells (N, bins, rows, columns) of unsigned directions as a picture (N, rows * side, columns * side): in each a
    stroke along the edge, at a right angle to its gradient, as bright as the bin is strong; the brightest place is 1.
    """
    bins, half = strengths.shape[1], (side - 1) / 2
    angle = (torch.arange(bins) + 0.5) * (torch.pi / bins)
    place = torch.arange(side) - half
    down, across = place[None, :, None], place[None, None, :]
    away = (across * angle.cos()[:, None, None] + down * angle.sin()[:, None, None]).abs()
    strokes = (1.2 - away).clamp(0, 1) * (torch.hypot(down, across) <= half)  # (bins, side, side)
    drawn = torch.einsum("nbrc,bhw->nrhcw", strengths, strokes.to(strengths)).flatten(3).flatten(1, 2)
    return drawn / drawn.amax((1, 2), keepdim=True).clamp(min=1e-12)


def cell_means(blocks: Tensor) -> Tensor:
    """What `hog` gives as cells, (N, bins, rows, columns): a cell's mean over the blocks that it lies in."""
    _, rows, columns, block, _, bins = blocks.shape
    flat = blocks.permute(0, 3, 4, 5, 1, 2)  # (N, block, block, bins, rows, columns)
    total = blocks.new_zeros(len(blocks), bins, rows + block - 1, columns + block - 1)
    count = total.new_zeros(total.shape[2:])
    for i in range(block):
        for j in range(block):
            total[:, :, i : i + rows, j : j + columns] += flat[:, i, j]
            count[i : i + rows, j : j + columns] += 1
    return total / count


def gradients(x: Tensor) -> tuple[Tensor, Tensor]:
    """Differences [-1, 0, 1] downwards and to the right, (N, H, W) each, 0 at the border, of the channel in which they
    are largest.
    """
    down = F.pad(x[:, :, 2:] - x[:, :, :-2], (0, 0, 1, 1))
    across = F.pad(x[:, :, :, 2:] - x[:, :, :, :-2], (1, 1))
    largest = (down.square() + across.square()).argmax(1, keepdim=True)
    return down.gather(1, largest)[:, 0], across.gather(1, largest)[:, 0]


def votes(x: Tensor, bins: int, *, signed: bool, soft: bool) -> Tensor:
    """How strongly each pixel votes for each direction, (N, bins, H, W): the size of its gradient, shared between the
    two nearest bins (`soft`) or given to the one it falls into. Bin k of B is centred at (k + ½) / B of the circle, or
    of half of it. No gradient: no vote, and a derivative of 0.
    """
    down, across = gradients(x)
    still = (down == 0) & (across == 0)
    across = torch.where(still, 1.0, across)
    size = torch.where(still, 0.0, torch.hypot(down, across))
    turn = 360 if signed else 180
    angle = torch.rad2deg(torch.atan2(down, across)).remainder(turn)[:, None] * (bins / turn)
    bin_ = torch.arange(bins, device=x.device)[:, None, None]
    if not soft:
        return size[:, None] * (angle.floor() == bin_)
    off = (angle - 0.5 - bin_ + bins / 2).remainder(bins) - bins / 2
    return size[:, None] * (1 - off.abs()).clamp(min=0)


def _shares(cell: int, block: int, soft: bool) -> Tensor:
    """What a cell of a block has of the block's pixels, (block², 1, block * cell, block * cell)."""
    width = cell * block
    if soft:
        line = torch.stack([_tent(width, cell, cell * (k + 0.5)) for k in range(block)]) * _bell(width)
    else:
        line = torch.eye(block, dtype=torch.float64).repeat_interleave(cell, 1)
    return (line[:, None, :, None] * line[None, :, None, :]).flatten(0, 1)[:, None] / cell**2


def _tent(width: int, cell: int, centre: float | None = None) -> Tensor:
    """Linear interpolation between cells: 1 at the centre, 0 a cell away; (width,)."""
    place = torch.arange(width, dtype=torch.float64) + 0.5 - (width / 2 if centre is None else centre)
    return (1 - place.abs() / cell).clamp(min=0)


def _bell(width: int) -> Tensor:
    """A Gaussian of half the width, (width,), 1 in the middle."""
    place = torch.arange(width, dtype=torch.float64) + 0.5 - width / 2
    return torch.exp(-place.square() / (2 * (width / 2) ** 2))


def _unit(x: Tensor) -> Tensor:
    """Vectors, all but the leading axes of blocks flattened away, of length 1 or of 0."""
    axes = tuple(range(min(3, x.dim() - 1), x.dim()))
    return x / (x.square().sum(axes, keepdim=True) + EPSILON**2).sqrt()


def _require(x: Tensor, least: int, cells: int) -> None:
    if x.dim() != 4:
        raise ArgumentError("picture", tuple(x.shape), "expected (N, C, height, width)")
    if min(x.shape[2:]) < least:
        what = f"a block of {cells} x {cells} cells" if cells > 1 else "the descriptor"
        raise ArgumentError("picture", tuple(x.shape[2:]), f"{what} needs at least {least} x {least} pixels")
