"""The teacher of `tools/train_bundled.py`, EfficientNet-Lite0, and the pictures that it and the student see alike."""

import math
from collections.abc import Mapping, Sequence

import timm
import torch
import torch.nn.functional as F
from bundled_pack import Source
from torch import Tensor, nn

JITTER = 0.3  # of brightness, contrast and saturation


def uniform(count: int, low: float, high: float, device: torch.device) -> Tensor:
    """Random numbers (count, 1)."""
    return torch.rand(count, 1, device=device) * (high - low) + low


def views(source: Source, count: int, area: float, mixed: float, sides: Sequence[int]) -> tuple[list[Tensor], Tensor]:
    """The same random crops of random pictures at several sides, (count, 3, side, side) in [0, 1] each, and the places
    of the pictures in the source. Crops hold at least `area` of a picture; all are mirrored and jittered at random, and
    a share is `mixed` with the picture before.
    """
    device = source.pixels.device
    places = torch.randint(len(source), (count,), device=device)
    pixels = source.pixels[places].float().div_(255)
    rows, columns = source.sizes[places].float().split(1, 1)
    share, ratio = uniform(count, area, 1, device), uniform(count, math.log(3 / 4), math.log(4 / 3), device).exp()
    width = torch.minimum((share * rows * columns * ratio).sqrt(), columns)
    height = torch.minimum((share * rows * columns / ratio).sqrt(), rows)
    top, left = ((whole - part) * torch.rand_like(part) for whole, part in ((rows, height), (columns, width)))
    mirrored = torch.rand(count, 1, device=device) < 0.5
    factors = [uniform(count, 1 - JITTER, 1 + JITTER, device)[:, :, None, None] for _ in range(3)]
    weight = torch.where(torch.rand(count, 1, device=device) < mixed, uniform(count, 0.5, 1, device), 1.0)
    found = []
    for side in sides:
        line = (torch.arange(side, device=device) + 0.5) / side
        x = (
            (left + torch.where(mirrored, 1 - line, line) * width).clamp(min=0.5).minimum(columns - 0.5)
        )  # (count, side)
        y = (top + line * height).clamp(min=0.5).minimum(rows - 0.5)
        x, y = (2 * position / extent - 1 for position, extent in ((x, pixels.shape[3]), (y, pixels.shape[2])))
        grid = torch.stack([x[:, None, :].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)], 3)
        crops = jittered(F.grid_sample(pixels, grid, align_corners=False, padding_mode="border"), factors)
        found.append(crops.lerp(crops.roll(1, 0), 1 - weight[:, :, None, None]))
    return found, places


def jittered(pictures: Tensor, factors: Sequence[Tensor]) -> Tensor:
    """Brightness, contrast and saturation times the factors (N, 1, 1, 1)."""
    brightness, contrast, saturation = factors
    pictures = pictures * brightness
    mean = pictures.mean((1, 2, 3), keepdim=True)
    pictures = mean + (pictures - mean) * contrast
    grey = pictures.mean(1, keepdim=True)
    return (grey + (pictures - grey) * saturation).clamp_(0, 1)


class Teacher(nn.Module):
    """EfficientNet-Lite0 in evaluation mode, its normalisation folded in, and a linear classifier on its features."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, weights: Mapping[str, Tensor], device: torch.device) -> None:
        super().__init__()
        net = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        net.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, strict=False)
        fold_norms(net.eval())
        self.dtype = torch.float16 if device.type == "cuda" else torch.float32
        self.net = net.to(device, self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.head: nn.Module = nn.Identity()
        for name, value in (("mean", 0.0), ("deviation", 1.0)):
            self.register_buffer(name, torch.full((net.num_features,), value, device=device))  # type: ignore[arg-type]
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Of pictures in [0, 1]: standardised `features`, scores `imagenet` and, once fitted, `caltech`."""
        inputs = ((pictures - 0.5) / 0.5).to(self.dtype, memory_format=torch.channels_last)
        pooled = self.net.forward_head(self.net.forward_features(inputs), pre_logits=True)
        features = (pooled.float() - self.mean) / self.deviation
        return {"features": features, "imagenet": self.net.classifier(pooled).float(), "caltech": self.head(features)}

    def fit(self, source: Source, side: int, classes: int, others: Source, others_side: int, rounds: int = 8) -> float:
        """Fit the classifier to random crops of the pictures; the L2 penalty, chosen on a sixth of them.

        Features are standardised over as many pictures of `others` as well.
        """
        count = rounds * len(source)
        features, places = self.seen(source, side, count)
        beside, _ = self.seen(others, others_side, count)
        self.mean.copy_((features.mean(0) + beside.mean(0)) / 2)
        self.deviation.copy_(torch.cat([features, beside]).std(0).clamp(min=1e-3))
        features, labels = (features - self.mean) / self.deviation, source.labels[places]
        checked = places % 6 == 0  # pictures, not views, so that none is on both sides
        losses = {}
        for penalty in (1e-3, 3e-3, 1e-2, 3e-2, 1e-1):
            head = linear(features[~checked], labels[~checked], classes, penalty)
            losses[penalty] = float(F.cross_entropy(head(features[checked]), labels[checked]))
        best = min(losses, key=lambda penalty: losses[penalty])
        self.head = linear(features, labels, classes, best)
        return best

    def seen(self, source: Source, side: int, count: int, batch: int = 256) -> tuple[Tensor, Tensor]:
        """Features of about `count` random crops, and the places of their pictures."""
        features, places = [], []
        for _ in range(max(1, count // batch)):
            (crops,), own = views(source, batch, 0.35, 0, [side])
            features.append(self(crops)["features"])
            places.append(own)
        return torch.cat(features), torch.cat(places)


def linear(features: Tensor, labels: Tensor, classes: int, penalty: float) -> nn.Linear:
    """Logistic regression with an L2 penalty."""
    head = nn.Linear(features.shape[1], classes, device=features.device)
    nn.init.zeros_(head.weight)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(head(features), labels) + penalty / 2 * head.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return head.requires_grad_(False)


def fold_norms(module: nn.Module) -> None:
    """Fold every normalisation that directly follows a convolution into it; its rectifier stays in its place."""
    before: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and before is not None and isinstance(before[1], nn.Conv2d):
            fold(before[1], child)
            setattr(module, name, getattr(child, "act", nn.Identity()))
        else:
            fold_norms(child)
        before = (name, child)


@torch.no_grad()
def fold(layer: nn.Module, norm: nn.Module) -> None:
    """Give a convolution or linear layer the weights that do what it and the normalisation after it do."""
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()  # type: ignore[arg-type, operator]
    before = 0 if layer.bias is None else layer.bias
    layer.bias = nn.Parameter((before - norm.running_mean) * scale + norm.bias)  # type: ignore[operator]
    layer.weight.mul_(scale.view(-1, *[1] * (layer.weight.dim() - 1)))
