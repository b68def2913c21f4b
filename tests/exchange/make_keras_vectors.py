"""Write keras_vectors.npz: what small networks of Keras compute with random weights, and the weights in the order of `get_weights`.

Where Keras is installed: `python tests/exchange/make_keras_vectors.py`. The arrays are "stack 0", "stack 1", ..., "stack out".
"""

from pathlib import Path

import numpy as np
from keras_nets import NETS, images, random_weights


def main():
    import keras

    arrays = {"version": np.array(keras.__version__)}
    for name, net in NETS.items():
        model = net(keras)
        model.set_weights(random_weights(model.get_weights(), seed=1))
        arrays |= {f"{name} {number}": array for number, array in enumerate(model.get_weights())}
        arrays[f"{name} out"] = model.predict(images(), verbose=0)
    np.savez_compressed(Path(__file__).with_name("keras_vectors.npz"), **arrays)


if __name__ == "__main__":
    main()
