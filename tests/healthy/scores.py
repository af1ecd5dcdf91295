"""What scores need beside tests/scene_data.py."""

from contextlib import contextmanager

import torch


@contextmanager
def evaluating(*models):
    """Evaluation mode without gradients for the length of the block; the models are left as they were."""
    modes = {module: module.training for model in models for module in model.modules()}
    for model in models:
        model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def probability_accuracy(model, x, y):
    """Share of items whose probability, one a row, is on the label's side of one half."""
    with evaluating(model):
        return ((model(x).flatten() > 0.5) == y.flatten().bool()).float().mean().item()
