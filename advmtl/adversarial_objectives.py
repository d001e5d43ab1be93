"""The adversarial objectives LSGAN, hinge, WGAN-GP and R3GAN, as values, and their gradient penalties.

Scores are a discriminator's linear outputs, of any shape. A loss is one number, a mean over all of them, or a value per
score, whose mean over the labelled patches is then taken (`advmtl.terms`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Slope = Callable[[Tensor, Tensor | None], Tensor]
"""∇ of every sample's mean score at maps [N,C,H,W], with graph to the weights. The second argument weighs the scores in
that mean [N,1,h,w], 1 in all for each sample; None: all alike."""


@dataclass(frozen=True)
class MapPair:
    """What a gradient penalty is taken at; only the maps' values are used.

    Attributes:
        real, fake: maps of the same frames [N,C,H,W].
        share: of the fake map, per sample [N], uniform in 0..1, for penalties between the two.
        patches: what each score weighs in its sample's mean [N,1,h,w], 1 in all; None: all alike.
        masks: of each part of the channels where the maps may differ, bool [N,1,H,W], and how many channels it has; a
            part without a mask is the same in both. (): all may differ everywhere.
    """

    real: Tensor
    fake: Tensor
    share: Tensor
    patches: Tensor | None = None
    masks: Sequence[tuple[Tensor | None, int]] = ()


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


def relativistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """softplus(−(D(x) − D(G))) per pair of scores (Huang et al. 2024, section 2; Jolicoeur-Martineau 2019).

    A pair are the scores of one patch of one frame: the maps are of the same picture, so what they differ in is what is
    generated. Where neither map has a label both scores are equal, and the pair says ln 2 and nothing else.
    """
    return F.softplus(fake - real)


def relativistic_generator(fake: Tensor, real: Tensor) -> Tensor:
    """softplus(−(D(G) − D(x))) per pair of scores (Huang et al. 2024, section 2); D(x) carries no gradient."""
    return F.softplus(real - fake)


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
    by_autograd = slope_by_autograd(discriminator)
    return slope_near_one(
        lambda maps, _: by_autograd(maps, None) if slope is None else slope(maps), MapPair(real, fake, share)
    )


def slope_near_one(slope: Slope, maps: MapPair) -> Tensor:
    """`gradient_penalty`, with the discriminator known by its slope; every patch counts alike, labelled or not."""
    with torch.autocast(maps.real.device.type, enabled=False):
        real, fake, share = (_wide(values.detach()) for values in (maps.real, maps.fake, maps.share))
        mixed = torch.lerp(real, fake, share[:, None, None, None])
        # vector_norm has gradient 0 at 0, where sqrt(sum of squares) has NaN.
        norm = torch.linalg.vector_norm(slope(mixed, None), dim=(1, 2, 3))
        return (norm - 1).square().mean()


def slopes_near_zero(slope: Slope, maps: MapPair) -> Tensor:
    """½ (R1 + R2): half of E[P ‖∇D(x)‖²] at real and the same at fake maps, to be multiplied by γ (Mescheder et al.
    2018, Eq. 9; Huang et al. 2024, section 2).

    D is a sample's mean score over its labelled patches, as in the loss. P is the number of a sample's pixels with a
    label: a mean over p patches has a slope whose square falls as 1/p, so that γ without P means something else at each
    size (Karras et al. 2020 choose γ in proportion to the number of pixels). P ‖∇D‖² is the square of what the mean
    score gains where every such pixel goes by 1 (root mean square) uphill, and encoded maps differ by about 1 where
    they differ. Channels that both maps share, and holes, do not count. Computed in float32 also under autocast.
    """
    with torch.autocast(maps.real.device.type, enabled=False):
        both = torch.cat([_wide(maps.real.detach()), _wide(maps.fake.detach())])
        patches = None if maps.patches is None else torch.cat([maps.patches, maps.patches])
        gradient = slope(both, patches)
        parts = maps.masks or [(torch.ones_like(both[: len(maps.real), :1], dtype=torch.bool), both.shape[1])]
        differing = [mask for mask, _ in parts if mask is not None]
        pixels = torch.stack(differing).any(0).sum((1, 2, 3))
        squares = [
            (part.square().sum(1, keepdim=True).unflatten(0, (2, -1)) * mask).sum((2, 3, 4))
            for part, (mask, _) in zip(gradient.split([channels for _, channels in parts], 1), parts, strict=True)
            if mask is not None
        ]
        return (torch.stack(squares).sum(0).mean(0) * pixels).mean()


def slope_by_autograd(discriminator: Callable[[Tensor], Tensor]) -> Slope:
    """The slope of any discriminator, [N,C,H,W] to scores [N,...], in which samples do not mix."""

    def slope(maps: Tensor, patches: Tensor | None) -> Tensor:
        maps = maps.requires_grad_()
        scores = discriminator(maps)
        # Samples do not mix in a discriminator without batch norm: one sum gives every sample's own gradient.
        score = scores.reshape(len(maps), -1).mean(1).sum() if patches is None else (scores * patches).sum()
        (gradient,) = torch.autograd.grad(score, maps, create_graph=True)
        return gradient

    return slope


def _wide(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


@dataclass(frozen=True)
class AdversarialObjective:
    """A pair of losses and what they ask of the discriminator.

    Attributes:
        name: key in configurations.
        discriminator: (real scores, fake scores) -> what to minimise, 0-d or of the scores' shape.
        generator: fake scores -> what to minimise, likewise; (fake scores, real scores) where `paired`.
        spectral: whether the discriminator's layers are spectrally normalised.
        penalty: weight of the gradient penalty; 0 = none.
        paired: whether the generator's loss compares with the scores of the same frames' real maps, without gradient.
        regularise: the gradient penalty, of slope and maps, 0-d.
        weight: of the generator's loss, where a configuration gives none: so that its gradient at z is about a tenth to
            a fifth of a task's (docs/method.md).
        learning_rate: of the discriminator, where a configuration gives none; None: that of all discriminators.
    """

    name: str
    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[..., Tensor]
    spectral: bool
    penalty: float
    paired: bool = False
    regularise: Callable[[Slope, MapPair], Tensor] = slope_near_one
    weight: float = 0.15
    learning_rate: float | None = None


# A caller may have more, `OBJECTIVES | {"mine": …}`, in the tables of a configuration's validation.
OBJECTIVES: dict[str, AdversarialObjective] = {
    "lsgan": AdversarialObjective(
        "lsgan", lsgan_discriminator, lsgan_generator, spectral=True, penalty=0.0, weight=0.5
    ),
    "hinge": AdversarialObjective("hinge", hinge_discriminator, negative_mean, spectral=True, penalty=0.0, weight=0.15),
    "wgan_gp": AdversarialObjective(
        "wgan_gp",
        wasserstein_discriminator,
        negative_mean,
        spectral=False,
        penalty=10.0,
        weight=0.04,
        learning_rate=2e-4,
    ),
    "r3gan": AdversarialObjective(
        "r3gan",
        relativistic_discriminator,
        relativistic_generator,
        spectral=False,
        penalty=0.005,
        paired=True,
        regularise=slopes_near_zero,
        weight=0.1,
    ),
}
