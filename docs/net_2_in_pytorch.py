"""net_2 in PyTorch, and its weights moved each way: `python docs/net_2_in_pytorch.py`, where PyTorch is installed."""

import numpy as np
import torch
from torch import nn

from scratchnet import net_2


def torch_net_2(sample_shape, nb_classes):
    """Return net_2 for images of an even height and width. Its outputs are logits."""
    H, W, C = sample_shape
    return nn.Sequential(
        nn.Conv2d(C, 32, 3, padding=1),
        nn.ReLU(),
        nn.ZeroPad2d((0, 1, 0, 1)),     # "same" with stride 2: a column at the right, a row at the bottom
        nn.Conv2d(32, 64, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * (H // 2) * (W // 2), 128),
        nn.ReLU(),
        nn.Linear(128, nb_classes),
    )


def copy_to_torch(model, torch_model):
    """Copy the weights of a model of scratchnet into one of PyTorch."""
    state = model.to_torch_state_dict(like=torch_model.state_dict())
    torch_model.load_state_dict({key: torch.from_numpy(array) for key, array in state.items()})


def copy_from_torch(torch_model, model):
    """Copy the weights of a model of PyTorch into one of scratchnet."""
    model.from_torch_state_dict(torch_model.state_dict())


def torch_probabilities(torch_model, x):
    """Return what PyTorch predicts for images in our layout: (N, H, W, C) -> (N, K)."""
    torch_model.eval()                                  # no dropout; moving averages in batch normalization
    x = torch.from_numpy(x).permute(0, 3, 1, 2)         # (N, H, W, C) -> (N, C, H, W)
    with torch.no_grad():
        return torch_model(x).softmax(dim=1).numpy()


def main():
    """Move weights each way, and print the largest difference between the probabilities."""
    x = np.random.default_rng(0).random((100, 28, 28, 1), "float32")
    model, torch_model, other = net_2((28, 28, 1), 10, seed=1), torch_net_2((28, 28, 1), 10), torch_net_2((28, 28, 1), 10)
    copy_to_torch(model, torch_model)
    difference = np.abs(model.predict(x, verbose=0) - torch_probabilities(torch_model, x)).max()
    print(f"to PyTorch: largest difference {difference:.1e}")
    copy_from_torch(other, model)
    difference = np.abs(model.predict(x, verbose=0) - torch_probabilities(other, x)).max()
    print(f"from PyTorch: largest difference {difference:.1e}")


if __name__ == "__main__":
    main()
