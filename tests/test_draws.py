"""Random numbers that depend only on a key and an index: published vectors, uniformity, independence, the same bits everywhere."""

import subprocess
import sys

import numpy as np
import pytest

from scratchnet import reference
from scratchnet.kernels import draws
from scratchnet.kernels.draws import TILE, uniform, uniform_numpy
from scratchnet.kernels.threads import limit

# kat_vectors of the Random123 library, for philox4x32: rounds, four words of the counter, two of the key, four of the result.
PUBLISHED = """
 7 00000000 00000000 00000000 00000000 00000000 00000000 5f6fb709 0d893f64 4f121f81 4f730a48
 7 ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 5207ddc2 45165e59 4d8ee751 8c52f662
 7 243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 4dfccaba 190a87f0 c47362ba b6b5242a
10 00000000 00000000 00000000 00000000 00000000 00000000 6627e8d5 e169c58d bc57ac4c 9b00dbd8
10 ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 408f276d 41c83b0e a20bc7c6 6d5451fd
10 243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 d16cfe09 94fdcceb 5001e420 24126ea1
"""
VECTORS = [[int(rounds), *(int(word, 16) for word in words)] for rounds, *words in map(str.split, PUBLISHED.strip().splitlines())]
KEYS = [0, 1, 2**32 - 1, 2**32, 0x0123456789ABCDEF, 2**63 - 1, 2**64 - 1]


@pytest.mark.parametrize("vector", VECTORS)
def test_the_loops_have_the_published_words(vector):
    rounds, counter, key, expected = vector[0], vector[1:5], vector[5:7], vector[7:]
    block = sum(word << 32 * i for i, word in enumerate(counter))
    assert reference.philox(block, key[0] + (key[1] << 32), rounds) == expected


@pytest.mark.parametrize("vector", VECTORS)
def test_numpy_has_the_published_words(vector, monkeypatch):
    monkeypatch.setattr(draws, "ROUNDS", vector[0])
    words = [np.array([word], np.uint64) for word in vector[1:5]]
    assert draws.philox(*words, np.uint64(vector[5]), np.uint64(vector[6]))[0].tolist() == vector[7:]


@pytest.mark.parametrize("index", [0, 1, 2, 3, 4, 7, 4095, 4096, 2**32 + 5, 4 * 2**32 + 6, 2**50 + 3])
@pytest.mark.parametrize("key", KEYS)
def test_loops_numpy_and_kernel_return_the_same_number(key, index):
    expected = reference.uniform(key, index)
    assert uniform_numpy(key, (1,), index).tolist() == [expected]
    assert uniform(key, (1,), index).tolist() == [expected]


@pytest.mark.parametrize("first", [0, 1, 2, 3, 5, 4 * TILE, 2**33 + 3])
@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, TILE - 1, TILE, TILE + 1, 3 * TILE + 2])
def test_numpy_and_kernel_have_the_same_bits(first, size):
    for key in KEYS:
        assert uniform(key, (size,), first).tobytes() == uniform_numpy(key, (size,), first).tobytes()


def test_a_number_depends_only_on_its_key_and_its_index():
    whole = uniform(99, (40, 500))
    assert whole.shape == (40, 500)
    np.testing.assert_array_equal(whole.reshape(-1), uniform(99, (20_000,)))
    for n in (0, 1, 17, 39):                                     # image n alone, as another process would draw it
        np.testing.assert_array_equal(uniform(99, (500,), first=500 * n), whole[n])


def test_the_bits_are_the_same_for_any_number_of_threads():
    results = set()
    for threads in (1, 2, 3, 5):
        with limit(threads):
            results.add(uniform(5, (128, 1601)).tobytes())
    assert len(results) == 1


def test_another_process_draws_the_same_bits():
    code = "from scratchnet.kernels.draws import uniform; print(uniform(2**62 + 7, (1000,), 3).tobytes().hex())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == uniform(2**62 + 7, (1000,), 3).tobytes().hex()


# -- statistics: each bound is at least five standard deviations wide, and the keys are fixed ---------------------------

SIZE = 1 << 20


@pytest.mark.parametrize("key", KEYS)
def test_numbers_are_uniform(key):
    u = uniform(key, (SIZE,))
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean() - 1 / 2) < 5 * np.sqrt(1 / 12 / SIZE)
    assert abs(u.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / SIZE)
    cells = 1000
    counts = np.bincount((u * cells).astype(int), minlength=cells)
    chi_square = ((counts - SIZE / cells) ** 2 / (SIZE / cells)).sum()
    assert abs(chi_square - (cells - 1)) < 5 * np.sqrt(2 * (cells - 1))


@pytest.mark.parametrize("bit", range(32))
def test_every_bit_is_set_half_of_the_time(bit):
    words = (uniform(4, (SIZE,)) * 2**32).astype(np.uint32)
    assert abs((words >> bit & 1).mean() - 1 / 2) < 5 * np.sqrt(1 / 4 / SIZE)


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 5, 8, 1024, 4096])
@pytest.mark.parametrize("key", KEYS)
def test_neighbouring_indices_are_not_correlated(key, distance):
    u = uniform(key, (SIZE + distance,)) - 1 / 2
    assert abs((u[:SIZE] * u[distance:]).mean() * 12) < 5 / np.sqrt(SIZE)


@pytest.mark.parametrize("difference", [1, 2, 2**31, 2**32, 2**32 + 1, 2**63])
def test_neighbouring_keys_are_not_correlated(difference):
    u, v = (uniform(key, (SIZE,)) - 1 / 2 for key in (12345, 12345 + difference))
    assert abs((u * v).mean() * 12) < 5 / np.sqrt(SIZE)
    assert not np.isin(u[:1000], v[:1000]).any()


def test_pairs_of_numbers_fill_the_square_evenly():
    u = uniform(8, (SIZE, 2))
    cells = 32
    counts = np.bincount((u[:, 0] * cells).astype(int) * cells + (u[:, 1] * cells).astype(int), minlength=cells**2)
    expected = SIZE / cells**2
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi_square - (cells**2 - 1)) < 5 * np.sqrt(2 * (cells**2 - 1))
