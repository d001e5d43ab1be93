"""Latency, memory, energy and arithmetic cost of models, side by side."""

from export.bench.graph_cost import Cost, cost_of
from export.bench.measure import (
    BenchmarkReport,
    add_facts,
    benchmark,
    in_turn,
    open_models,
    print_benchmark,
    print_comparison,
)
from export.bench.meters import gpu_mib, open_meters, resident_mib
