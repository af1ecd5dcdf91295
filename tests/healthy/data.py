"""Data that only the sound trainings use, all of it seeded; the rest is in tests/scene_data.py."""

import math

import numpy as np
import torch
from sklearn import datasets

from tests.scene_data import split, standardized


def unit_digits(seed):
    """Images of digits in [0, 1]: inputs and labels to train on, then those to validate on."""
    bunch = datasets.load_digits()
    images = torch.as_tensor(bunch.images, dtype=torch.float32)[:, None] / 16
    return split(images, torch.as_tensor(bunch.target), seed=seed)


def moons(seed, *, items=1000, noise=0.15):
    """Two half circles, which no straight line divides."""
    x, y = datasets.make_moons(items, noise=noise, random_state=seed)
    return split(standardized(torch.as_tensor(x, dtype=torch.float32)), torch.as_tensor(y), seed=seed)


def surface(seed, *, items=1000, features=5, noise=0.1):
    """A smooth function of several inputs, with targets of about unit scale and shape [n, 1]."""
    generator = torch.Generator().manual_seed(2000 + seed)
    x = torch.randn(items, features, generator=generator)
    y = torch.sin(x[:, 0]) + 0.5 * x[:, 1] * x[:, 2] + 0.3 * x[:, 3] + noise * torch.randn(items, generator=generator)
    return split(x, standardized(y)[:, None], seed=seed)


def waves(seed, *, items=400, length=24):
    """Noisy sine waves of random rate and phase, [n, length, 1]; the target is the next value."""
    generator = torch.Generator().manual_seed(3000 + seed)
    rate = 0.2 + 0.4 * torch.rand(items, 1, generator=generator)
    phase = 2 * math.pi * torch.rand(items, 1, generator=generator)
    curve = torch.sin(rate * torch.arange(length + 1) + phase)
    seen = curve + 0.05 * torch.randn(curve.shape, generator=generator)
    return split(seen[:, :length, None], curve[:, length:], seed=seed)


def tweets(seed, *, items=1000, length=20, words=100):
    """Token ids, padded on the right with 0; the label: are there more good words (1-10) than bad ones (11-20)."""
    generator = np.random.default_rng(seed)
    rows, labels = [], []
    while len(rows) < items:
        size = generator.integers(6, length + 1)
        row = generator.integers(21, words, size)
        marked = generator.random(size) < 0.3
        row[marked] = generator.integers(1, 21, marked.sum())
        good, bad = ((row >= 1) & (row <= 10)).sum(), ((row >= 11) & (row <= 20)).sum()
        if good != bad:
            rows.append(np.pad(row, (0, length - size)))
            labels.append(int(good > bad))
    return split(torch.as_tensor(np.array(rows)), torch.tensor(labels), seed=seed)


def sentences(seed, *, characters=6000):
    """A long text of simple sentences as ids of its characters, and how many different ones there are."""
    generator = np.random.default_rng(seed)
    who, does = ["the cat", "a dog", "my bird", "one fish"], ["sees", "likes", "eats"]
    what = ["rice", "the sun", "bread"]
    text = ""
    while len(text) < characters:
        text += f"{generator.choice(who)} {generator.choice(does)} {generator.choice(what)}. "
    alphabet = sorted(set(text))
    return torch.tensor([alphabet.index(character) for character in text[:characters]]), len(alphabet)
