"""advmtl.data.sampling"""

from collections import Counter

import numpy as np
import pytest

from advmtl.data.sampling import EpochSampler, epoch_order, shares


def sampler(**changes):
    settings = {"lengths": [5, 9], "weights": [1, 1], "batch_size": 3, "seed": 4} | changes
    return EpochSampler(**settings)


def test_equal_weights_give_one_permutation_of_all_frames():
    assert sorted(epoch_order([5, 9], [2.5, 2.5], 7, 0)) == list(range(14))


def test_order_depends_on_seed_and_epoch_only():
    first = epoch_order([5, 9], [1, 1], 7, 3)
    np.testing.assert_array_equal(first, epoch_order([5, 9], [1, 1], 7, 3))
    assert (first != epoch_order([5, 9], [1, 1], 7, 4)).any()
    assert (first != epoch_order([5, 9], [1, 1], 8, 3)).any()


def test_shares_by_hand():
    # 40 frames: 10 of weight 3 and 30 of weight 1 -> 30 : 30 of 60 -> 20 and 20.
    assert shares([10, 30], [3, 1]) == [20, 20]
    # 7 frames, parts 2·1 : 5·2 = 1/6 : 5/6 -> 1.17 and 5.83 -> 1 and 5; the larger remainder gets one.
    assert shares([2, 5], [1, 2]) == [1, 6]
    assert shares([3, 4, 5], [1, 1, 1]) == [3, 4, 5]


def test_weighted_frames_of_a_source_come_equally_often_but_for_one():
    counts = Counter(epoch_order([6, 30], [4, 1], 1, 0).tolist())
    # 36 frames, parts 24 : 30 -> 16 and 20.
    small = [counts[index] for index in range(6)]
    large = [counts[index] for index in range(6, 36)]
    assert sum(small) == 16 and set(small) == {2, 3}
    assert sum(large) == 20 and set(large) == {0, 1}


def test_a_repeated_frame_has_another_key_each_time():
    keys = [key for batch in sampler(lengths=[2, 28], weights=[10, 1]) for key in batch]
    assert len(set(keys)) == len(keys)
    assert {epoch for epoch, _, _ in keys} == {0}
    assert max(occurrence for _, _, occurrence in keys) >= 2


def test_starting_at_batch_k_equals_the_tail_and_other_epochs_differ():
    whole = list(sampler())
    assert len(whole) == len(sampler()) == 14 // 3
    late = sampler()
    late.set_position(0, 2)
    assert list(late) == whole[2:] and len(late) == len(whole) - 2
    late.set_position(1)
    assert list(late) != whole and len(late) == len(whole)


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_every_global_batch_without_overlap(world):
    one = [sorted(batch) for batch in sampler(batch_size=2 * world)]
    parts = [list(sampler(batch_size=2, rank=rank, world_size=world)) for rank in range(world)]
    together = [sorted(key for batch in batches for key in batch) for batches in zip(*parts, strict=True)]
    assert together == one


def test_fewer_frames_than_a_batch_fill_it_by_repetition():
    (batch,) = sampler(lengths=[2], weights=[1], batch_size=5)
    assert Counter(index for _, index, _ in batch) in (Counter({0: 3, 1: 2}), Counter({1: 3, 0: 2}))
    assert len(set(batch)) == 5
