"""How the network grows where tasks conflict."""

from advmtl.config.typed import Strict


class GrowthConfig(Strict):
    """MAMO (seed paper 002): modules that are added during training where tasks' gradients conflict."""
