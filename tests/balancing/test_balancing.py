"""Every balancer: finite at any scale, independent of the objectives' order, correct on known solutions, saved."""

import io
import math
from typing import Any

import pytest
import torch
from balancers import GRAM_BASED, JACOBIAN_BASED, REQUIRED
from torch import Tensor
from torchjd import aggregation
from torchjd.linalg import QuadprogProjector

from advmtl.balancing.balancer import Balancer, GramBalancer, JacobianBalancer, LossBalancer, NonFiniteObjective
from advmtl.balancing.build import BALANCERS, build_balancer
from advmtl.config.balance import METHODS, SCALARIZATIONS, check_balance
from preprocessing.ground.errors import InputError


def make(method: str, rows: tuple[str, ...] = ("a", "b", "c"), **options: object) -> Any:
    try:
        return build_balancer(method, REQUIRED.get(method, {}) | options, rows, rows)
    except InputError as error:
        pytest.skip(str(error))


def wide(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def gradients(rows: int = 3, seed: int = 0) -> Tensor:
    return torch.randn(rows, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_the_table_of_names_is_the_configurations() -> None:
    assert list(BALANCERS) == list(METHODS)
    assert set(METHODS) == {"sum", *SCALARIZATIONS, *GRAM_BASED, *JACOBIAN_BASED}
    for names, kind in ((GRAM_BASED, GramBalancer), (SCALARIZATIONS, LossBalancer), (JACOBIAN_BASED, JacobianBalancer)):
        assert all(isinstance(balancer, kind) for balancer in map(try_make, names) if balancer is not None)


def try_make(method: str) -> Balancer | None:
    try:
        return build_balancer(method, REQUIRED.get(method, {}), "abc", "abc")
    except InputError as error:
        assert f"balance.method: {method} needs a solver; pip install 'torchjd[" in str(error)
        return None


def hard_matrices() -> dict[str, Tensor]:
    plain = gradients()
    line = wide([[1.0], [2.0], [-3.0]]) * plain[0]
    return {
        "zero": 0 * plain,
        "one row zero": torch.cat([plain[:2], 0 * plain[:1]]),
        "equal rows": plain[:1].repeat(3, 1),
        "rank one, opposed": line,
        "rank one, aligned": line.abs(),
        "1e-12": 1e-12 * plain,
        "1e-6": 1e-6 * plain,
        "1e6": 1e6 * plain,
        "1e12": 1e12 * plain,
        "1e-6 beside 1e6": wide([[1e-6], [1.0], [1e6]]) * plain,
    }


@pytest.mark.parametrize("case", hard_matrices())
@pytest.mark.parametrize("method", GRAM_BASED)
def test_weights_are_finite_for_hard_gram_matrices(method: str, case: str) -> None:
    balancer, matrix = make(method), hard_matrices()[case]
    for step in range(3):
        weights = balancer(matrix @ matrix.T, wide([1.0, 1e-9, 1e6]) / (step + 1))
        assert weights.shape == (3,) and weights.isfinite().all()
    if case == "zero":
        assert weights.tolist() == [1, 1, 1]


@pytest.mark.parametrize("case", hard_matrices())
@pytest.mark.parametrize("method", JACOBIAN_BASED)
def test_aggregations_are_finite_for_hard_matrices(method: str, case: str) -> None:
    balancer, matrix = make(method), hard_matrices()[case]
    for _ in range(3):
        assert balancer(matrix).isfinite().all()


@pytest.mark.parametrize("losses", [[0.0, 1.0, 1e6], [1e-12, 1e-12, 1e-12], [1e12, 1.0, 1e-12], [0.0, 0.0, 0.0]])
@pytest.mark.parametrize("method", sorted(SCALARIZATIONS))
def test_weights_are_finite_for_hard_losses(method: str, losses: list[float]) -> None:
    balancer = make(method)
    for epoch in range(4):
        balancer.begin_epoch(epoch)
        assert balancer.weights(wide(losses), torch.tensor([True, epoch > 1, True]))[0].isfinite().all()


# In distribution only: pcgrad and gradvac visit the rows in a drawn order, random and graddrop draw weights or masks;
# with two rows the first two have no choice and are tested. By definition not: pcd puts the first row first.
ORDERED = {"pcd"}


@pytest.mark.parametrize("method", [name for name in GRAM_BASED if name not in ORDERED])
def test_the_order_of_the_rows_does_not_matter(method: str) -> None:
    rows = 2 if method in ("pcgrad", "gradvac") else 3
    names, order = ("a", "b", "c")[:rows], [1, 2, 0][-rows:] if rows == 3 else [1, 0]
    first, second = make(method, names), make(method, names)
    for seed in range(4):
        matrix, losses = gradients(rows, seed), 0.1 + torch.rand(rows, dtype=torch.float64)
        weights = first(matrix @ matrix.T, losses)
        permuted = second(matrix[order] @ matrix[order].T, losses[order])
        assert torch.allclose(permuted, weights[order], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", sorted(SCALARIZATIONS.keys() - {"random"}))
def test_the_order_of_the_tasks_does_not_matter(method: str) -> None:
    """Options by name move with their task."""
    first, second = make(method), make(method, ("b", "c", "a"))
    for epoch in range(4):
        losses = wide([0.5 + epoch, 2.0, 3.0 / (1 + epoch)])
        for balancer in (first, second):
            balancer.begin_epoch(epoch)
            balancer.observe({"a": 0.5, "b": 0.6 - 0.1 * epoch, "c": 0.8})
        weights = first.weights(losses, torch.tensor([True] * 3))[0]
        permuted = second.weights(losses[[1, 2, 0]], torch.tensor([True] * 3))[0]
        assert torch.allclose(permuted, weights[[1, 2, 0]], atol=1e-9)


R2 = math.sqrt(2)
# Conflicting rows (2, 0) and (-1, 1), Gram matrix ((4, -2), (-2, 2)); and orthogonal ones of length 2 and 1.
CONFLICT, ORTHOGONAL = [[4.0, -2.0], [-2.0, 2.0]], [[4.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("method", "options", "gramian", "expected"),
    [
        # (G22 - G12) / (G11 + G22 - 2 G12) = 4 / 10.
        ("min_norm", {}, CONFLICT, [0.4, 0.6]),
        ("mgda", {}, CONFLICT, [0.4, 0.6]),
        ("cr_mogm", {}, CONFLICT, [0.4, 0.6]),  # nothing before it
        # On losses (2, 8) the rows are (1, 0) and (-1, 1) / 8: G = ((1, -1/8), (-1/8, 1/32)); 5/32 over 41/32.
        ("min_norm", {"normalise": "loss"}, CONFLICT, [5 / 41, 36 / 41]),
        ("min_norm", {"normalise": "norm"}, CONFLICT, [0.5, 0.5]),
        # Halves over the norms 2 and √2, scaled to sum 1.
        ("central_direction", {}, CONFLICT, [1 / (1 + R2), R2 / (1 + R2)]),
        # g1 + g2 and g2 + g1/2.
        ("pcgrad", {}, CONFLICT, [1.5, 2.0]),
        ("gradvac", {}, CONFLICT, [1.5, 2.0]),  # its target starts at cosine 0
        # G⁻¹ (2, √2) = ¼ (4 + 2√2, 4 + 4√2), over its sum.
        ("imtl_g", {}, CONFLICT, [(4 + 2 * R2) / (8 + 6 * R2), (4 + 4 * R2) / (8 + 6 * R2)]),
        # √λmin G^-½ on the mean.
        ("aligned_mtl", {}, ORTHOGONAL, [0.25, 0.5]),
        ("aligned_mtl", {"preference": {"a": 3.0}}, ORTHOGONAL, [0.375, 0.25]),
        # G w = w^(-1/2).
        ("fairgrad", {"alpha": 2.0}, ORTHOGONAL, [4 ** (-2 / 3), 1.0]),
        ("fairgrad", {"alpha": 1.0}, ORTHOGONAL, [0.5, 1.0]),
        # G w = 1/w, of length √2, cut to 1.
        ("nash_mtl", {"max_norm": 0.0}, ORTHOGONAL, [0.5, 1.0]),
        ("nash_mtl", {}, ORTHOGONAL, [0.5 / R2, 1 / R2]),
        # Along (1, 1)/√2, of length (2 + 1)/√2: (1.5, 1.5).
        ("config", {}, ORTHOGONAL, [0.75, 1.5]),
        # λ = ½ − 0.1 (G/2.5 λ + 0.1 λ) = (0.415, 0.475), onto the simplex.
        ("modo", {}, ORTHOGONAL, [0.47, 0.53]),
        # Both to the mean norm, 1.5.
        ("rotograd", {}, ORTHOGONAL, [0.75, 1.5]),
        ("gradnorm", {}, ORTHOGONAL, [1.0, 1.0]),
        ("upgrad", {}, ORTHOGONAL, [0.5, 0.5]),
        ("dualproj", {}, ORTHOGONAL, [0.5, 0.5]),
        # c = 0 is the mean; no conflict is no obstacle.
        ("cagrad", {"c": 0.0}, ORTHOGONAL, [0.5, 0.5]),
    ],
)
def test_hand_derived_weights(method: str, options: dict, gramian: list, expected: list[float]) -> None:
    weights = make(method, ("a", "b"), **options)(wide(gramian), wide([2.0, 8.0]))
    assert weights.tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("mean", [0.5, 0.5]),
        ("constant", [0.5, 1.0]),
        ("uncertainty", [0.5, 0.5]),  # ½ e^-s at s = 0
        ("revised_uncertainty", [0.5, 0.5]),
        ("imtl_l", [1.0, 1.0]),
        ("dwa", [1.0, 1.0]),
        ("famo", [0.8, 0.2]),  # ½/L over Σ ½/L = 0.3125
        ("geometric_mean", [1.0, 0.25]),  # √16 / (2 L)
        ("focused_geometric_mean", [6.0, 0.5]),  # 4 · 2: ∂a = 1 · 2 + 4 · 1, ∂b = ¼ · 2
        ("stch", [0.5 / (1 + math.e**3), 0.5 / (1 + math.e**-3)]),  # ½ softmax(1, 4)
        ("dynamic_task_prioritisation", [1.0, 1.0]),
        ("stop_and_go", [1.0, 1.0]),
    ],
)
def test_hand_derived_derivatives(method: str, expected: list[float]) -> None:
    """Losses 2 and 8."""
    weights = make(method, ("a", "b")).weights(wide([2.0, 8.0]), torch.tensor([True, True]))[0]
    assert weights.tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("method", "theirs"),
    [
        ("pcd", lambda: aggregation.PCDWeighting()),
        ("sdmgrad", lambda: aggregation.SDMGradWeighting()),
        ("aligned_mtl", lambda: aggregation.AlignedMTLWeighting()),
        ("imtl_g", lambda: aggregation.IMTLGWeighting()),
        ("mgda", lambda: aggregation.MGDAWeighting(1e-9, 200_000)),
        ("min_norm", lambda: aggregation.MGDAWeighting(1e-9, 200_000)),
        ("fairgrad", lambda: aggregation.FairGradWeighting(2.0)),
        ("upgrad", lambda: aggregation.UPGradWeighting(projector=QuadprogProjector(reg_eps=1e-10))),
        ("dualproj", lambda: aggregation.DualProjWeighting(projector=QuadprogProjector(reg_eps=1e-10))),
    ],
)
def test_weights_are_those_of_torchjd(method: str, theirs: Any) -> None:
    ours, rows = make(method), 2 if method in ("mgda", "min_norm") else 3  # Frank-Wolfe is exact for two
    reference = theirs()
    for seed in range(3):
        matrix = gradients(rows, seed)
        matrix = matrix / matrix.square().sum(1).mean().sqrt()  # its solvers have absolute thresholds
        if rows == 2:
            ours = make(method, ("a", "b"))
        weights = ours(matrix @ matrix.T, wide([1.0] * rows))
        assert torch.allclose(weights, reference(matrix @ matrix.T), atol=1e-5)


def test_config_and_nash_are_those_of_their_equations() -> None:
    """ConFIG: TorchJD on the gradients themselves. Nash-MTL: G w = 1/w."""
    for seed in range(3):
        matrix = gradients(3, seed) * wide([[1.0], [30.0], [0.1]])
        ours = make("config")(matrix @ matrix.T, wide([1.0] * 3)) @ matrix
        assert torch.allclose(ours, aggregation.ConFIG()(matrix), rtol=1e-5, atol=1e-7)
        weights = make("nash_mtl", max_norm=0.0)(matrix @ matrix.T, wide([1.0] * 3))
        assert torch.allclose(matrix @ matrix.T @ weights * weights, wide([1.0] * 3), atol=1e-5)


@pytest.mark.parametrize(
    "method",
    ["min_norm", "mgda", "central_direction", "tensioner", "config", "nash_mtl", "fairgrad", "upgrad", "dualproj"],
)
def test_the_direction_conflicts_with_no_row(method: str) -> None:
    """What these papers promise: g_m · v >= 0, here up to 1 % of the longest product for the iterative solvers."""
    balancer = make(method)
    for seed in range(20):
        matrix = gradients(3, seed) * wide([[1.0], [3.0], [0.2]])
        gramian = matrix @ matrix.T
        products = gramian @ balancer(gramian, wide([0.01, 5.0, 30.0]))
        assert products.min() >= -0.01 * products.abs().max()


def test_pcgrad_and_gradvac_at_first_do_not_conflict_for_two_rows() -> None:
    for seed in range(10):
        matrix = gradients(2, seed)
        for method in ("pcgrad", "gradvac"):
            weights = make(method, ("a", "b"))(matrix @ matrix.T, wide([1.0, 1.0]))
            assert (matrix @ matrix.T @ weights).min() > -1e-7


@pytest.mark.parametrize(
    "method", ["min_norm", "mgda", "central_direction", "imtl_g", "aligned_mtl", "pcgrad", "nash_mtl"]
)
def test_scaling_all_losses_changes_no_direction(method: str) -> None:
    matrix = gradients(2)
    directions = []
    for scale in (1e-6, 1.0, 1e6):
        weights = make(method, ("a", "b"))(scale**2 * matrix @ matrix.T, wide([1.0, 1.0]))
        vector = weights @ matrix
        directions.append(vector / vector.norm())
    assert torch.allclose(directions[0], directions[1], atol=1e-5)
    assert torch.allclose(directions[2], directions[1], atol=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_named(bad: float) -> None:
    gramian = torch.eye(3, dtype=torch.float64)
    gramian[1, 1] = bad
    with pytest.raises(NonFiniteObjective, match=f"gradient of objective b is {bad}"):
        make("min_norm")(gramian, wide([1.0] * 3))
    gramian[1, 1], gramian[0, 2] = 1, bad
    with pytest.raises(NonFiniteObjective, match="objective a"):
        make("pcgrad")(gramian, wide([1.0] * 3))
    with pytest.raises(NonFiniteObjective, match=f"loss of objective c is {bad}"):
        make("gradnorm")(torch.eye(3, dtype=torch.float64), wide([1.0, 1.0, bad]))
    with pytest.raises(NonFiniteObjective, match=f"loss of objective c is {bad}"):
        make("dwa").weights(wide([1.0, 1.0, bad]), torch.tensor([True] * 3))


def drive(balancer: Any, steps: range) -> list[Tensor]:
    """Some steps with history, epochs and validations; weights or vectors."""
    results = []
    for step in steps:
        torch.manual_seed(step)
        matrix, losses = gradients(3, step), wide([1.0 + step, 2.0, 3.0 / (1 + step)])
        balancer.begin_epoch(step // 2)
        balancer.observe({"a": 0.5, "b": 0.6 - 0.1 * (step % 3), "c": 0.1 * step})
        if isinstance(balancer, GramBalancer):
            results.append(balancer(matrix @ matrix.T, losses))
        elif isinstance(balancer, LossBalancer):
            weights, own = balancer.weights(losses, torch.tensor([True, step % 2 == 0, True]))
            results.append(weights)
            with torch.no_grad():
                for parameter, gradient in zip(balancer.parameters(), own, strict=True):
                    assert gradient.abs().max() > 0
                    parameter -= 0.1 * gradient  # stands for the generator's optimizer
        else:
            results.append(balancer(matrix))
    return results


@pytest.mark.parametrize("method", [name for name in METHODS if name != "sum"])
def test_state_survives_a_checkpoint(method: str) -> None:
    """Stopped after 5 steps, saved, read with weights_only and continued: the same bits as never stopped."""
    whole, first, second = make(method), make(method), make(method)
    expected = drive(whole, range(9))
    drive(first, range(5))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    for ours, theirs in zip(drive(second, range(5, 9)), expected[5:], strict=True):
        assert torch.equal(ours, theirs)


HISTORY = {
    "uncertainty",
    "revised_uncertainty",
    "imtl_l",
    "dwa",
    "famo",
    "dynamic_task_prioritisation",
    "stop_and_go",
} | {*("tensioner", "gradvac", "pcd", "modo", "sdmgrad", "cr_mogm", "gradnorm", "rotograd", "excess_mtl")}


@pytest.mark.parametrize("method", sorted(HISTORY))
def test_history_matters(method: str) -> None:
    """Else the test above would show nothing."""
    torch.manual_seed(0)
    assert not torch.allclose(drive(make(method), range(7))[-1], drive(make(method), range(6, 7))[-1])


@pytest.mark.parametrize(
    ("method", "options", "at", "expected"),
    [
        ("pcgrads", {}, "representation", "balance.method: no 'pcgrads'; there are sum, mean"),
        ("cagrad", {"d": 1}, "representation", "balance.options.d: unknown; cagrad has c"),
        ("pcgrad", {"c": 1}, "representation", "balance.options.c: unknown; pcgrad has no options"),
        ("fairgrad", {}, "representation", "balance.options.alpha: is required; fairgrad has alpha, max_iters"),
        ("tensioner", {"alpha": 2}, "representation", "balance.options.alpha: Input should be less than or equal to 1"),
        (
            "constant",
            {"weights": {"x": 1}},
            "representation",
            "balance.options.weights: x is no objective here; the objectives are a, b",
        ),
        (
            "constant",
            {"weights": {"critic": 1}},
            "representation",
            "balance.options.weights: critic is no objective here",
        ),
        ("focused_geometric_mean", {"focus": ["x"]}, "representation", "balance.options.focus: x is no objective here"),
        ("excess_mtl", {}, "representation", "balance.at: excess_mtl keeps a square per parameter"),
        (
            "trimmed_mean",
            {"trim_number": 2},
            "representation",
            "balance.options.trim_number: 2 leaves nothing of 3 objectives",
        ),
    ],
)
def test_a_wrong_section_is_one_line_that_names_the_key(method: str, options: dict, at: Any, expected: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_balance(method, options, at, ["a", "b"], ["a", "b", "critic"])
    assert str(caught.value).startswith(expected) and "\n" not in str(caught.value)


def test_preferences_name_rows() -> None:
    check_balance("aligned_mtl", {"preference": {"critic": 2.0}}, "representation", ["a"], ["a", "critic"])
