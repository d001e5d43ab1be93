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
from advmtl.networks.encoders import ENCODERS, Build, Encoder, Growable, build_encoder, check_encoder, growable
from advmtl.networks.generator import ChainedResidualPooling, Generator, GrownFeatures, build_generator
from advmtl.networks.grown import Architecture, Kernels, architecture, grow, regrow
from advmtl.networks.parts import modules_within, part_parameters, rate_factors
from advmtl.networks.perceptual import Perceptual
from advmtl.networks.rotated_head import RotatedHead
from advmtl.networks.task_maps import Lattice, TaskMaps, drawn_lattice, on_lattice
from advmtl.networks.unfolding import folded_norms, unfold_norms
from advmtl.networks.weights import read_state_dict
