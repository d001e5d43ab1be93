"""benchmarks/logic_operators.py: closed forms equal the balancers, gradients autograd's, runs a plain loop's."""

import math
import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import logic_operators as logic
from logic_balance import Balance, central_pair, min_norm_pair, tensioned_pair
from logic_tables import COMPARED, METHODS, PAPER, Method, claims, describe, markdown

from advmtl.balancing.build import build_balancer
from advmtl.balancing.directions import BASE_FLOOR

ROWS = ("and", "xor")


def random_rows(count: int, seed: int) -> torch.Tensor:
    """[count,2,6] gradients whose norms differ by up to a factor of 100 and whose cosines take any sign."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, 2, 6, generator=generator, dtype=torch.float64)
    return rows * 10 ** (2 * torch.rand(count, 2, 1, generator=generator, dtype=torch.float64) - 1)


@pytest.mark.parametrize(("method", "closed"), [("min_norm", min_norm_pair), ("central_direction", central_pair)])
def test_closed_forms_equal_the_balancers(method, closed):
    rows = random_rows(200, 0)
    gramian = rows @ rows.mT
    balancer = build_balancer(method, {}, ROWS, ROWS)
    expected = torch.stack([balancer(g, torch.ones(2, dtype=torch.float64)) for g in gramian])
    torch.testing.assert_close(closed(gramian), expected, atol=1e-6, rtol=1e-6)
    assert expected.std(0).min() > 0.1  # not one and the same answer


@pytest.mark.parametrize("base", ["min_norm", "central_direction"])
def test_tensioner_with_history_equals_the_balancer(base):
    period, alpha, steps = 4, 0.7, 12
    runs = 9
    rows = random_rows(runs * steps, 1).view(steps, runs, 2, 6)
    losses = 10 ** torch.linspace(-2, 1, runs * steps * 2, dtype=torch.float64).view(steps, runs, 2).flip(2)
    balance = Balance.of([Method("", base, period, alpha)], runs, 0.5)
    balancers = [
        build_balancer("tensioner", {"base": base, "period": period, "alpha": alpha}, ROWS, ROWS) for _ in range(runs)
    ]
    pulled = 0
    for step in range(steps):
        gramian = rows[step] @ rows[step].mT
        ours = balance.weigh(gramian, losses[step], step, BASE_FLOOR)
        theirs = torch.stack([b(g, loss) for b, g, loss in zip(balancers, gramian, losses[step], strict=True)])
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
        plain = central_pair(gramian) if base == "central_direction" else min_norm_pair(gramian, BASE_FLOOR)
        moved = ((ours - plain).abs() > 1e-4).any(1)
        assert step >= period or not moved.any()  # Algorithm 1: from i = T on
        pulled += int(moved.sum())
    assert pulled > runs


def test_equal_tensions_cancel_and_the_pull_keeps_the_constraint():
    rows = random_rows(300, 2)
    gramian = rows @ rows.mT
    k = min_norm_pair(gramian, 1e-3)
    same = tensioned_pair(gramian, k, torch.full((300, 2), 0.8, dtype=torch.float64))
    torch.testing.assert_close(same, k, atol=1e-12, rtol=0)
    k = central_pair(gramian)
    strong = tensioned_pair(gramian, k, torch.tensor([1.0, 0.1], dtype=torch.float64).expand(300, 2))
    along = (gramian @ strong[..., None])[..., 0] / gramian.diagonal(dim1=1, dim2=2)
    assert along.min() > -1e-9
    assert (along[:, 1].abs() < 1e-9).sum() > 10  # the bound is met, so it did bind


def test_tensioned_pair_by_hand():
    """g = (2, 0), (0, 1), central v = (2/3, 2/3), |g_1 - g_2| = √5; c = (1, 0.5) moves v by 0.5/√5 (2, -1)."""
    gramian = torch.tensor([[[4.0, 0.0], [0.0, 1.0]]], dtype=torch.float64)
    k = central_pair(gramian)
    torch.testing.assert_close(k, torch.tensor([[1 / 3, 2 / 3]], dtype=torch.float64))
    found = tensioned_pair(gramian, k, torch.tensor([[1.0, 0.5]], dtype=torch.float64))
    step = 0.5 / math.sqrt(5)
    torch.testing.assert_close(found, torch.tensor([[1 / 3 + step, 2 / 3 - step]], dtype=torch.float64))


def test_gradients_equal_autograd():
    generator = torch.Generator().manual_seed(3)
    shared, heads = (torch.randn(5, 2, 3, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2))
    x = torch.cat([torch.rand(5, 4, 2, generator=generator, dtype=torch.float64), torch.ones(5, 4, 1)], 2)
    y = torch.randn(5, 4, 2, generator=generator, dtype=torch.float64)
    losses, at_heads, rows = logic.gradients(shared, heads, x, y, torch.ones(5, 2, dtype=torch.bool))
    hidden = torch.cat([torch.sigmoid(x @ shared.mT), torch.ones(5, 4, 1, dtype=torch.float64)], 2)
    expected = (hidden @ heads.mT - y).square().mean(1)
    torch.testing.assert_close(losses, expected)
    for task in (0, 1):
        to_shared, to_heads = torch.autograd.grad(expected[:, task].sum(), [shared, heads], retain_graph=True)
        torch.testing.assert_close(rows[:, task], to_shared.flatten(1))
        torch.testing.assert_close(at_heads[:, task], to_heads[:, task])


def epochs_of_a_plain_loop(seed: int, rate: float, scale: float) -> int:
    """Uniform weighting of one run, with modules, autograd and torch.optim."""
    torch.manual_seed(logic.START_SEED)
    layers = torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)]).double()
    optimizer = torch.optim.SGD(layers.parameters(), rate, momentum=0.9)
    x = logic.INPUTS[:, :2]
    targets = torch.tensor([logic.AND, [scale * value for value in logic.XOR]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    orders = torch.rand(3000, 4, generator=generator).argsort(1)
    reached = [0, 0]
    for epoch, order in enumerate(orders, 1):
        error = [0.0, 0.0]
        for half in order.split(2):
            hidden = torch.sigmoid(layers[0](x[half]))
            losses = [(layers[1 + t](hidden)[:, 0] - targets[t][half]).square().mean() for t in (0, 1)]
            error = [e + loss.item() / 2 for e, loss in zip(error, losses, strict=True)]
            optimizer.zero_grad()
            (losses[0] + losses[1]).backward()
            for parameter in layers[0].parameters():
                parameter.grad *= 0.5
            optimizer.step()
        reached = [r or (epoch if e < 4e-3 else 0) for r, e in zip(reached, error, strict=True)]
        if all(reached):
            return max(reached)
    return 0


def test_a_run_equals_a_plain_loop():
    choices = logic.Choices(epochs=900, seeds=2)
    epochs = logic.train([Method("uniform", "uniform")], [1e-2, 5e-2], 1.0, choices)
    # The orders drawn for 900 epochs begin as those for 3000 do.
    assert epochs[0, 1, 1] == epochs_of_a_plain_loop(1, 5e-2, 1.0)
    assert epochs[0, 1, 0] != epochs[0, 1, 1]  # another order of samples
    assert epochs[0, 0].tolist() == [0, 0]  # too slow for 900 epochs


def test_tensioners_converge_first_where_scales_differ():
    choices = logic.Choices(epochs=500, seeds=4)
    epochs = logic.train(COMPARED, [5e-2], PAPER["4"].scale, choices)
    again = logic.train(COMPARED, [5e-2], PAPER["4"].scale, choices)
    assert torch.equal(epochs, again)
    rows = {row["method"]: row for row in describe("4", [5e-2], epochs)}
    assert list(rows) == list(PAPER["4"].rows)
    central, pulled = rows["central direction"], rows["central + tensioner"]
    assert pulled["converged_percent"] == central["converged_percent"] == 100
    assert pulled["epochs_mean"] < 0.75 * central["epochs_mean"]
    assert rows["min-norm"]["converged_percent"] == 0  # needs about 800
    assert abs(central["epochs_mean"] - central["paper"]["epochs_mean"]) < 30
    assert set(pulled) == {
        *("method", "learning_rate", "converged_percent", "epochs_mean", "epochs_deviation", "epochs_least"),
        *("paper", "by_rate"),
    }
    text = markdown({"tables": {"4": list(rows.values())}, "claims": claims({"4": list(rows.values())})})
    assert "| central + tensioner | 0.05 | 100 | 100 |" in text
    assert "188.2 ± 24.3 |" in text


def test_the_best_rate_converges_most_then_first():
    epochs = torch.zeros(len(COMPARED), 3, 2, dtype=torch.int64)
    epochs[:, 0] = torch.tensor([10, 0])
    epochs[:, 1] = torch.tensor([40, 60])
    epochs[:, 2] = torch.tensor([70, 50])
    first = describe("3", [0.1, 0.2, 0.3], epochs)[0]
    assert (first["learning_rate"], first["epochs_mean"], first["epochs_deviation"]) == (0.2, 50.0, 10.0)
    assert [figures["converged_percent"] for figures in first["by_rate"]] == [50.0, 100.0, 100.0]


def test_every_row_has_the_papers_figures():
    for name, methods in METHODS.items():
        assert {method.name for method in methods} == set(PAPER[name].rows)
    assert PAPER["2"].rows["T=15 α=0.9"] == (96.0, 266.84, 166.23)
    assert PAPER["1"].rows["T=10 α=0.3"] == PAPER["3"].rows["central + tensioner"]
