"""A loss of your own: written, checked, trained with, saved. Cross-entropy in which a mistake on some classes costs more.

    loss = Σ_n s_n · (-log p_n[label of n]) / N        s_n: the weight of image n's class
    dlogits_n = s_n · (p_n - y_n) / N                  the gradient of each image's own loss, times its weight

A wrong answer about an image of a class with weight 5 costs five times as much, so the net gives that answer less often.

Source: King & Zeng, Logistic regression in rare events data (2001), section 4.2.
"""

import tempfile

import numpy as np

from scratchnet import datasets, load_model, net_2
from scratchnet.gradcheck import check_loss
from scratchnet.losses import Loss, log_softmax, softmax
from scratchnet.preprocessing import add_channel_axis, normalize_images, one_hot


class WeightedCrossentropy(Loss):
    """Softmax cross-entropy with a weight for each class; labels are one-hot rows (N, K)."""

    name = "weighted_crossentropy"

    def __init__(self, class_weights, from_logits=False):
        super().__init__(from_logits)
        self.class_weights = list(class_weights)                    # stored under the argument's name, so that it is saved

    def one_hot(self, y, K):
        """Check the labels and return them as rows; training calls this once, before it starts."""
        if y.shape != (len(y), K) or len(self.class_weights) != K:
            raise ValueError(
                f"{self.name}: expected one-hot labels (N, {K}) and {K} weights, got {y.shape} and {len(self.class_weights)}. "
                f"Make the labels with one_hot(y, {K}), and give one weight for each class."
            )
        return y

    def value_and_gradient(self, logits, y):
        """Return the mean loss and dlogits; training calls this for each batch."""
        s = y @ np.asarray(self.class_weights, logits.dtype)        # (N, K) @ (K,) -> (N,)
        losses = -(y * log_softmax(logits)).sum(axis=1)             # (N, K) -> (N,)
        dlogits = s[:, np.newaxis] * (softmax(logits) - y)          # (N, 1) * (N, K) -> (N, K)
        return float(np.mean(s * losses)), dlogits / len(logits)


class ForgetsTheWeight(WeightedCrossentropy):
    """The same loss with a bug: the gradient is that of the loss without weights. A net with it would still learn."""

    def value_and_gradient(self, logits, y):
        """Return the weighted loss with an unweighted gradient."""
        return super().value_and_gradient(logits, y)[0], (softmax(logits) - y) / len(logits)


def main(limit=2000, epochs=2):
    weights = [1.0] * 10
    weights[8] = 5.0                                                # a missed 8 costs five times as much
    print(check_loss(WeightedCrossentropy(weights), shape=(5, 10)), end="\n\n")
    print(check_loss(ForgetsTheWeight(weights), shape=(5, 10)), end="\n\n")

    (x, y), (x_test, y_test) = datasets.glyphs.load_data()
    x, x_test = (add_channel_axis(normalize_images(images)) for images in (x[:limit], x_test[:limit]))
    for loss in ("categorical_crossentropy", WeightedCrossentropy(weights)):
        model = net_2((28, 28, 1), 10, seed=1)
        model.compile("adam", loss, metrics=["accuracy"])
        model.fit(x, one_hot(y[:limit], 10), batch_size=64, epochs=epochs, verbose=0)
        answers = model.predict(x_test, verbose=0).argmax(axis=1)
        missed = np.mean(answers[y_test[:limit] == 8] != 8)
        print(f"{model.loss}: {missed:.1%} of the eights missed, accuracy {np.mean(answers == y_test[:limit]):.4f}")

    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model.npz")
        again = load_model(f"{folder}/model.npz", custom_objects={"WeightedCrossentropy": WeightedCrossentropy})
    print("saved and loaded, its loss has the same weights:", again.loss.class_weights == weights)


if __name__ == "__main__":
    main()
