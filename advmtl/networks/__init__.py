"""What has weights: encoder, shared and task generators, grown modules, discriminators, the perceptual network."""

from advmtl.networks.batch_norm import check_batch_norm, running_statistics, set_batch_norm
from advmtl.networks.discriminator import (
    PatchDiscriminator,
    discriminator_input,
    fake_maps,
    input_channels,
    real_maps,
    validity,
)
from advmtl.networks.encoders import ENCODERS, Build, Encoder, build_encoder, check_encoder, growable
from advmtl.networks.generator import Generator, GrownFeatures, build_generator
from advmtl.networks.grown import Architecture, Kernels, architecture, grow, regrow
from advmtl.networks.perceptual import Perceptual
from advmtl.networks.rotated_head import RotatedHead
