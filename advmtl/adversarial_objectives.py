"""The adversarial objectives LSGAN, hinge and WGAN-GP, as values, and the gradient penalty.

Scores are a discriminator's linear outputs, of any shape; every mean is over all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class AdversarialObjective:
    """A pair of losses and what they ask of the discriminator.

    Attributes:
        name: key in configurations.
        discriminator: (real scores, fake scores) -> scalar to minimise.
        generator: fake scores -> scalar to minimise.
        spectral: whether the discriminator's layers are spectrally normalised.
        penalty: weight of the gradient penalty; 0 = none.
        weight: of the generator's loss, where a configuration gives none: so that its gradient at z is about a tenth to
            a fifth of a task's (docs/method.md).
        learning_rate: of the discriminator, where a configuration gives none; None: that of all discriminators.
    """

    name: str
    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    spectral: bool
    penalty: float
    weight: float = 0.15
    learning_rate: float | None = None


def lsgan_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """½ [(D(x) − 1)² + D(G)²] (Mao et al. 2017, Eq. 9)."""
    return 0.5 * ((real - 1).square().mean() + fake.square().mean())


def lsgan_generator(fake: Tensor) -> Tensor:
    """½ (D(G) − 1)² (Mao et al. 2017, Eq. 9)."""
    return 0.5 * (fake - 1).square().mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """mean relu(1 − D(x)) + mean relu(1 + D(G)) (Miyato et al. 2018, Eq. 16)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def wasserstein_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """E[D(G)] − E[D(x)] (Gulrajani et al. 2017, Eq. 3, without the penalty)."""
    return fake.mean() - real.mean()


def negative_mean(fake: Tensor) -> Tensor:
    """−E[D(G)], the generator's loss of the hinge and Wasserstein objectives (Miyato et al. 2018, Eq. 17)."""
    return -fake.mean()


# A caller may have more, `OBJECTIVES | {"mine": …}`, in the tables of a configuration's validation.
OBJECTIVES: dict[str, AdversarialObjective] = {
    "lsgan": AdversarialObjective(
        "lsgan", lsgan_discriminator, lsgan_generator, spectral=True, penalty=0.0, weight=0.5
    ),
    "hinge": AdversarialObjective("hinge", hinge_discriminator, negative_mean, spectral=True, penalty=0.0, weight=0.15),
    "wgan_gp": AdversarialObjective(
        name="wgan_gp",
        discriminator=wasserstein_discriminator,
        generator=negative_mean,
        spectral=False,
        penalty=10.0,
        weight=0.04,
        learning_rate=2e-4,
    ),
}


def gradient_penalty(
    discriminator: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    share: Tensor | None = None,
    slope: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """E[(‖∇D(x̂)‖₂ − 1)²] (Gulrajani et al. 2017, Eq. 3), to be multiplied by `AdversarialObjective.penalty`.

    x̂ lies between real and fake, with one random share per sample. The norm is per sample, over all of C, H,
    W. A sample's score is the mean of its patches, as in the loss itself, so that what is held near slope 1
    is the very function whose expectations are compared. Computed in float32 also under autocast.

    Args:
        discriminator: [N,C,H,W] to scores [N,...].
        real: real maps [N,C,H,W]; only their values are used.
        fake: generated maps [N,C,H,W]; only their values are used.
        share: of the fake map per sample [N], uniform in 0..1; None = drawn from torch's global generator.
        slope: ∇ of every sample's mean score at maps [N,C,H,W], with graph to the weights, where the discriminator
            knows a cheaper way to it than a second derivative by autograd.
    """
    share = torch.rand(len(real), device=real.device) if share is None else share.to(real.device)
    with torch.autocast(real.device.type, enabled=False):
        real, fake, share = (_wide(values.detach()) for values in (real, fake, share))
        mixed = torch.lerp(real, fake, share[:, None, None, None])
        gradient = _by_autograd(discriminator, mixed) if slope is None else slope(mixed)
        # vector_norm has gradient 0 at 0, where sqrt(sum of squares) has NaN.
        norm = torch.linalg.vector_norm(gradient, dim=(1, 2, 3))
        return (norm - 1).square().mean()


def _wide(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _by_autograd(discriminator: Callable[[Tensor], Tensor], mixed: Tensor) -> Tensor:
    # Samples do not mix in a discriminator without batch norm: one sum gives every sample's own gradient.
    mixed = mixed.requires_grad_()
    score = discriminator(mixed).reshape(len(mixed), -1).mean(1).sum()
    (gradient,) = torch.autograd.grad(score, mixed, create_graph=True)
    return gradient
