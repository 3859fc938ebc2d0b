"""One training step on Lightning: forward, loss, backward, SGD, renormalisation, next rate (METHODS §3, T3 to T9).

Knows no pictures and no files. The network inside trains in channels-last, with the same response normalisation
computed faster than torch does on a CPU.
"""

import math
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.errors import TrainingError
from convscope.training.evaluate import hits
from convscope.training.recipe import Plateau, Recipe, learning_rate


class BandedNorm(nn.Module):
    """`nn.LocalResponseNorm`, its sum across maps as a product with a band matrix: twice as fast training on CPUs."""

    band: Tensor

    def __init__(self, norm: nn.LocalResponseNorm, channels: int) -> None:
        super().__init__()
        index = torch.arange(channels)
        offset = index[None, :] - index[:, None]  # output map in rows, contributing map in columns
        near = (offset >= -(norm.size // 2)) & (offset <= (norm.size - 1) // 2)
        band = near.float() * (norm.alpha / norm.size)
        self.register_buffer("band", band[:, :, None, None], persistent=False)
        self.k, self.beta = norm.k, norm.beta

    def forward(self, x: Tensor) -> Tensor:
        """Same shape (N, C, H, W), as `nn.LocalResponseNorm` to rounding."""
        denominator = F.conv2d(x * x, self.band.to(x.dtype)) + self.k
        if self.beta == 0.75:  # two square roots are far cheaper than a power
            root = denominator.rsqrt()
            return x * (root * root.sqrt())
        return x * denominator.pow(-self.beta)


def with_banded_norms(network: nn.Module) -> nn.Module:
    """The network with its direct `LocalResponseNorm` children exchanged, in place; they hold no weights."""
    channels = 0
    for name, child in list(network.named_children()):
        if isinstance(child, nn.Conv2d):
            channels = child.out_channels
        elif isinstance(child, nn.LocalResponseNorm):
            setattr(network, name, BandedNorm(child, channels))
    return network


def filter_rms(convolution: nn.Conv2d) -> Tensor:
    """Root mean square of every filter, (out_channels,)."""
    return convolution.weight.detach().flatten(1).square().mean(1).sqrt()


@torch.no_grad()
def renormalise(network: nn.Module, radius: float) -> None:
    """Scale every convolution filter whose RMS exceeds `radius` back to it, in place (METHODS T9)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            rms = filter_rms(module)
            over = rms > radius
            if over.any():
                module.weight[over] *= (radius / rms[over])[:, None, None, None]


class Trainee(L.LightningModule):
    """A network, its recipe, and the numbers of the epoch so far.

    After an epoch `record` holds train_loss, train_error, val_loss, val_top1, val_top5 (errors in per cent) and lr.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, classes: int) -> None:
        super().__init__()
        self.network: nn.Module = with_banded_norms(network).to(memory_format=torch.channels_last)
        self.recipe, self.classes = recipe, classes
        self.plateau = Plateau()
        self.record: dict[str, float] = {}
        self.stopped = False  # the error is small enough
        self._sums = torch.zeros(3)  # loss, errors, pictures

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C, H, W) in network space to (N, classes) logits."""
        logits: Tensor = self.network(inputs)
        return logits

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """SGD with momentum (METHODS T4), or Adam (M5, M6); the rate is set before every step."""
        recipe = self.recipe
        if recipe.optimizer == "adam":
            rate, betas = learning_rate(recipe, 0.0), (recipe.momentum, 0.999)
            return torch.optim.Adam(self.network.parameters(), rate, betas, weight_decay=recipe.weight_decay)
        return torch.optim.SGD(
            self.network.parameters(),
            lr=learning_rate(recipe, 0.0),
            momentum=recipe.momentum,
            nesterov=recipe.nesterov and recipe.momentum > 0,
            weight_decay=recipe.weight_decay,
        )

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout from (seed, epoch) when an epoch begins, and set the rate of this step."""
        if batch_idx == 0:
            torch.manual_seed(hash((self.recipe.seed, self.current_epoch, self.global_rank)) % 2**63)
            self._sums, self.record = torch.zeros(3), {}
        elapsed = self.current_epoch + batch_idx / float(self.trainer.num_training_batches)
        self._set_rate(learning_rate(self.recipe, elapsed, self.plateau.drops))

    def _set_rate(self, rate: float) -> None:
        """T4's velocity holds the rates it was made with; torch's buffer does not, so a change rescales it."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, torch.optim.Optimizer | L.pytorch.core.optimizer.LightningOptimizer)
        for group in optimizer.param_groups:
            if rate != group["lr"]:
                for parameter in group["params"]:
                    momentum = optimizer.state.get(parameter, {}).get("momentum_buffer")
                    if momentum is not None:
                        momentum.mul_(group["lr"] / rate)
                group["lr"] = rate
        self.record["lr"] = rate

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Cross-entropy from logits, mean over the batch (METHODS T3). Raises TrainingError when not finite."""
        inputs, labels = batch
        logits = self(inputs)
        loss = F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
        if not math.isfinite(value := float(loss.detach())):
            where = f"epoch {self.current_epoch + 1}, step {batch_idx + 1}, lr {self.record['lr']:g}"
            raise TrainingError(f"the loss is {value} at {where}: a smaller lr or clip may help")
        wrong = (~hits(logits.detach(), labels, 1)).sum()
        self._sums += torch.tensor([value * len(labels), float(wrong), len(labels)])
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """The update, and after every one the filters' renormalisation (METHODS T9)."""
        super().optimizer_step(*args, **kwargs)
        if self.recipe.radius is not None:
            renormalise(self.network, self.recipe.radius)

    def on_validation_epoch_start(self) -> None:
        """Counts start at zero: loss, top-1 errors, top-5 errors, pictures."""
        self._counts = torch.zeros(4)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Count errors on the centre crop."""
        inputs, labels = batch
        logits = self(inputs).float()
        loss = F.cross_entropy(logits, labels, reduction="sum")
        wrong = [float((~hits(logits, labels, min(k, self.classes))).sum()) for k in (1, 5)]
        self._counts += torch.tensor([float(loss), *wrong, len(labels)])

    def on_validation_epoch_end(self) -> None:
        """Errors in per cent over all processes; the plateau schedule takes the top-1 error in (METHODS T5)."""
        loss, top1, top5, count = self._all(self._counts)
        self.record |= {"val_loss": loss / count, "val_top1": 100 * top1 / count}
        if self.classes > 5:
            self.record["val_top5"] = 100 * top5 / count
        if self.recipe.schedule == "plateau":
            self.plateau.update(self.record["val_top1"], self.recipe)

    def close_epoch(self) -> None:
        """Put the mean loss and error over the epoch's batches, as they were seen, into `record`; end the training
        where that error is small enough.
        """
        loss, wrong, count = self._all(self._sums)
        self.record |= {"train_loss": loss / count, "train_error": 100 * wrong / count}
        if self.recipe.enough is not None and self.record["train_error"] <= self.recipe.enough:
            self.trainer.should_stop = self.stopped = True

    def on_train_start(self) -> None:
        """A training that had ended does not go on when it is resumed."""
        self.trainer.should_stop = self.stopped

    def _all(self, sums: Tensor) -> list[float]:
        total = self.trainer.strategy.reduce(sums.to(self.device), reduce_op="sum")
        return [float(value) for value in total]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The plateau's numbers and the recipe travel with the resume state, as plain values."""
        plateau = self.plateau
        checkpoint["plateau"] = [plateau.best, plateau.stalled, plateau.drops]
        checkpoint["recipe"], checkpoint["stopped"] = self.recipe.plain(), self.stopped

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the plateau's numbers back. Raises TrainingError when the state is of another recipe."""
        saved, own = Recipe().plain() | checkpoint["recipe"], self.recipe.plain()
        changed = sorted(name for name in own if name != "epochs" and saved.get(name) != own[name])
        if changed or (own["schedule"] == "cosine" and saved["epochs"] != own["epochs"]):
            names = ", ".join(changed or ["epochs"])
            raise TrainingError(f"the state to resume from was made with another recipe: {names} differ")
        best, stalled, drops = checkpoint["plateau"]
        self.plateau, self.stopped = Plateau(best, stalled, drops), checkpoint.get("stopped", False)
