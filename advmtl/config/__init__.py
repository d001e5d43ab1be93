"""Typed, validated configurations. Imports no torch.

A configuration file holds only what differs from the defaults here, so each file in `configs/` reads as the experiment
it is. Unknown keys, wrong types and impossible combinations are one line naming the key.
"""

from advmtl.config.balance import BalanceConfig as BalanceConfig
from advmtl.config.data import WITHOUT_SPLITS as WITHOUT_SPLITS
from advmtl.config.data import Augment as Augment
from advmtl.config.data import DataConfig as DataConfig
from advmtl.config.data import DepthConfig as DepthConfig
from advmtl.config.data import Source as Source
from advmtl.config.experiment import Config as Config
from advmtl.config.growth import GrowthConfig as GrowthConfig
from advmtl.config.networks import DiscriminatorConfig as DiscriminatorConfig
from advmtl.config.networks import EncoderConfig as EncoderConfig
from advmtl.config.networks import GeneratorConfig as GeneratorConfig
from advmtl.config.networks import PerceptualConfig as PerceptualConfig
from advmtl.config.networks import TaskConfig as TaskConfig
from advmtl.config.partial import ConsistencyConfig as ConsistencyConfig
from advmtl.config.partial import DomainAdversaryConfig as DomainAdversaryConfig
from advmtl.config.partial import MeanTeacherConfig as MeanTeacherConfig
from advmtl.config.partial import PartialConfig as PartialConfig
from advmtl.config.training import GuardsConfig as GuardsConfig
from advmtl.config.training import TrainConfig as TrainConfig
from advmtl.config.typed import Size as Size
from advmtl.config.typed import TaskName as TaskName
from advmtl.config.typed import parse_size as parse_size
from advmtl.config.typed import validate as validate
