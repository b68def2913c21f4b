"""How hard are glyphs and shapes? `python docs/how_hard.py` trains a linear classifier and net_2 on each, for 8 epochs."""

from scratchnet import Dense, Flatten, Input, Sequential, datasets, net_2
from scratchnet.preprocessing import add_channel_axis, normalize_images, one_hot


def main() -> None:
    """Print the validation accuracy of both networks on both data sets after each epoch."""
    for name in ("glyphs", "shapes"):
        data = datasets.load(name)
        x, x_test = (add_channel_axis(normalize_images(images)) for images in (data.x_train, data.x_test))
        y, y_test = (one_hot(labels, len(data.class_names)) for labels in (data.y_train, data.y_test))
        shape, K = x.shape[1:], len(data.class_names)
        linear = Sequential([Input(shape), Flatten(), Dense(K, activation="softmax")], seed=0)
        for title, model in (("linear", linear), ("net_2", net_2(shape, K, seed=0))):
            model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
            history = model.fit(x, y, 128, epochs=8, verbose=0, validation_data=(x_test, y_test)).history
            print(f"{name:<7} {title:<7}", *(f"{accuracy:.3f}" for accuracy in history["val_accuracy"]), flush=True)


if __name__ == "__main__":
    main()
