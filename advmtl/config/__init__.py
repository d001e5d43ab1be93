"""Typed, validated configurations. Imports no torch.

A configuration file holds only what differs from the defaults here, so each file in `configs/` reads as the experiment
it is. Unknown keys, wrong types and impossible combinations are one line naming the key.
"""

from advmtl.config.affinity import AffinityConfig, measured
from advmtl.config.balance import METHODS, SCALARIZATIONS, BalanceConfig, read_options
from advmtl.config.best import MEAN, RANKS, of_task, ranking_figures
from advmtl.config.data import Augment, DataConfig, DepthConfig, Source, parse_budget
from advmtl.config.experiment import Config
from advmtl.config.files import as_then, config_folders, load_config
from advmtl.config.going_on import GOES_ON, OPERATIONAL
from advmtl.config.growth import (
    STRIDES,
    Detection,
    GrowthConfig,
    Pair,
    Place,
    average,
    choose,
    detection_of,
    modules_for,
    pairs_of,
)
from advmtl.config.networks import (
    DiscriminatorConfig,
    EncoderConfig,
    GeneratorConfig,
    InitConfig,
    PerceptualConfig,
    TaskConfig,
)
from advmtl.config.partial import ConsistencyConfig, DomainAdversaryConfig, MeanTeacherConfig, PartialConfig
from advmtl.config.parts import PARTS
from advmtl.config.plan import Plan
from advmtl.config.rare_classes import ClassMixConfig, ClassWeightsConfig, RareFramesConfig, weighs
from advmtl.config.restyle import RestyleConfig
from advmtl.config.steps import value_at, whole_steps
from advmtl.config.training import GuardsConfig, TrainConfig
from advmtl.config.typed import IMAGE, Size, Strict, TaskName, parse_size, validate
from advmtl.config.weather import WeatherConfig
from advmtl.config.yaml_text import read_yaml
