"""Write torch_vectors.npz: state dicts of small PyTorch networks, images (N, C, H, W), and what the networks compute from them.

Where PyTorch is installed: `python tests/exchange/make_torch_vectors.py`. The arrays are "net_1 state 0.weight", "net_1 x", ...
"""

from pathlib import Path

import numpy as np
from paired_nets import SHAPES, images, nchw, torchs


def main():
    import torch

    arrays = {"version": np.array(torch.__version__)}
    for name in SHAPES:
        net, x = torchs(name), nchw(images(name))
        arrays |= {f"{name} state {key}": tensor.numpy() for key, tensor in net.state_dict().items()}
        with torch.no_grad():
            arrays |= {f"{name} x": x, f"{name} out": net(torch.from_numpy(x)).numpy()}
    np.savez_compressed(Path(__file__).with_name("torch_vectors.npz"), **arrays)


if __name__ == "__main__":
    main()
