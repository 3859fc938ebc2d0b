"""In which variables a picture is made: pixel by pixel, or as decorrelated colours of spatial frequencies.

    paint = Fourier((128, 128), mean, std)
    z = paint.variables(paint.grey(9))                         # free variables, any values
    x = paint.picture(z)                                       # (N, C, H, W) in network space

Gradient ascent in Fourier space with decorrelated colours (Olah, Mordvintsev & Schubert, "Feature Visualization", 2017)
moves all frequencies of a picture alike, where pixels favour the highest. Knows nothing of networks.
"""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

# A square root of the covariance of red, green and blue over the bundled gallery (columns: its eigenvectors times the
# roots of their eigenvalues: brightness, blue to orange, green to magenta), divided by the mean of the first column.
COLOURS = ((0.985, 0.362, 0.070), (1.010, -0.024, -0.156), (1.005, -0.330, 0.088))
DARKEST = 0.02  # the pixel values of a start stay this far from 0 and 1, where the logistic function is flat


class Paint(ABC):
    """What z, a tensor of free variables (N, ...), means as a picture.

    `mean` and `std`, (C, 1, 1) or (C, H, W), are the network's, in units of a picture scaled to [0, 1].
    """

    def __init__(self, size: tuple[int, int], mean: Tensor, std: Tensor) -> None:
        self.size, self.mean, self.std = size, sized(mean, size), sized(std, size)

    def levels(self, x: Tensor) -> Tensor:
        """Network space as pixel levels of 0 to 255 minus the mean picture: the units of METHODS' steps and priors."""
        return x * (255 * self.std)

    def clipped(self, x: Tensor) -> Tensor:
        """Network space, no darker than black and no lighter than white."""
        return torch.minimum(torch.maximum(x, -self.mean / self.std), (1 - self.mean) / self.std)

    @abstractmethod
    def variables(self, x: Tensor) -> Tensor:
        """The z of pictures x (N, C, H, W) in network space."""

    @abstractmethod
    def picture(self, z: Tensor) -> Tensor:
        """The pictures (N, C, H, W), in network space, that z stands for."""


class Pixels(Paint):
    """z (N, C, H, W): the pixels themselves, as `levels`. Values outside those of real pictures are possible."""

    def variables(self, x: Tensor) -> Tensor:
        """See `Paint`."""
        return self.levels(x)

    def picture(self, z: Tensor) -> Tensor:
        """See `Paint`."""
        return z / (255 * self.std)


class Boxed(Pixels):
    """z (N, C, h, w): the pixels, as `levels`, of a box (top, left, bottom, right; exclusive); the mean outside it."""

    def __init__(self, size: tuple[int, int], mean: Tensor, std: Tensor, box: tuple[int, int, int, int]) -> None:
        super().__init__(size, mean, std)
        self.box = box

    def variables(self, x: Tensor) -> Tensor:
        """See `Paint`; what lies outside the box is lost."""
        top, left, bottom, right = self.box
        return super().variables(x)[:, :, top:bottom, left:right]

    def picture(self, z: Tensor) -> Tensor:
        """See `Paint`."""
        (top, left, bottom, right), (height, width) = self.box, self.size
        return super().picture(F.pad(z, (left, width - right, top, height - bottom)))


class Fourier(Paint):
    """z (N, C, H, W//2 + 1, 2): real and imaginary parts of a spectrum whose amplitudes fall as 1/frequency, as those
    of natural pictures do, of decorrelated colours; a logistic function keeps pixels inside what a picture can hold.

    With z from N(0, 1), the values before the logistic function have a variance of about 1 in each colour.
    """

    def __init__(self, size: tuple[int, int], mean: Tensor, std: Tensor) -> None:
        super().__init__(size, mean, std)
        rows, columns = (f(n).to(mean) for f, n in zip((torch.fft.fftfreq, torch.fft.rfftfreq), size, strict=True))
        frequency = torch.hypot(rows[:, None], columns[None, :])
        amplitude = 1 / frequency.clamp(min=1 / max(size))
        self.amplitude = amplitude / amplitude.square().mean().sqrt() / 2**0.5
        three = len(mean) == 3
        self.colours = torch.tensor(COLOURS).to(mean) if three else torch.eye(len(mean)).to(mean)

    def variables(self, x: Tensor) -> Tensor:
        """See `Paint`; pixels are kept off black and white a little."""
        values = (x * self.std + self.mean).clamp(DARKEST, 1 - DARKEST).logit()
        plain = torch.einsum("dc,nchw->ndhw", torch.linalg.inv(self.colours), values)
        return torch.view_as_real(torch.fft.rfft2(plain, norm="ortho") / self.amplitude)

    def picture(self, z: Tensor) -> Tensor:
        """See `Paint`."""
        spectrum = torch.view_as_complex(z.contiguous()) * self.amplitude
        plain = torch.fft.irfft2(spectrum, s=self.size, norm="ortho")
        values = torch.einsum("cd,ndhw->nchw", self.colours, plain).sigmoid()
        return (values - self.mean) / self.std


def sized(table: Tensor, size: tuple[int, int]) -> Tensor:
    """A mean or std, (C, 1, 1) or (C, h, w), for pictures of another size: a mean picture is scaled to it."""
    if table.shape[1:] in ((1, 1), size):
        return table
    return F.interpolate(table[None], size, mode="bilinear", antialias=True)[0]


def shaken(
    x: Tensor, generator: torch.Generator, *, jitter: int = 0, scale: float = 0.0, rotate: float = 0.0
) -> Tensor:
    """All pictures (N, C, H, W) moved alike, at random, so that what they show survives it.

    Shifted round the border by up to `jitter` pixels each way; then scaled by up to a factor 1 ± `scale` and turned by
    up to ± `rotate` degrees about the centre, mirrored where nothing is left to show. `generator` is on the CPU.
    """
    if jitter:
        down, across = torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist()
        x = x.roll((down, across), (2, 3))
    if not (scale or rotate):
        return x
    grow, turn = (2 * torch.rand(2, generator=generator) - 1).tolist()
    factor, angle = 1 / (1 + scale * grow), torch.tensor(turn * rotate).deg2rad()
    cosine, sine = factor * float(angle.cos()), factor * float(angle.sin())
    ratio = x.shape[2] / x.shape[3]  # affine_grid counts each axis from -1 to 1
    matrix = x.new_tensor([[cosine, -sine * ratio, 0], [sine / ratio, cosine, 0]])
    grid = F.affine_grid(matrix.expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
