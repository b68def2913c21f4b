"""net_1 and net_2 learn to classify photographs: when does overfitting begin?

    python examples/03_cifar10.py                   downloads CIFAR-10 if necessary (170 MB)
    python examples/03_cifar10.py --data shapes     coloured shapes, which need no download

Training stops when the validation loss has not improved for two epochs, and restores the best epoch's weights.
"""

import argparse

from scratchnet import datasets, net_1, net_2, plotting
from scratchnet.callbacks import EarlyStopping
from scratchnet.preprocessing import normalize_images, one_hot


def main(data, limit, epochs):
    try:
        images = datasets.load(data)
    except datasets.DataError as error:
        raise SystemExit(f"{error}\nWithout a download: python examples/03_cifar10.py --data shapes") from None
    names = images.class_names
    x_train, x_test = (normalize_images(x[:limit]) for x in (images.x_train, images.x_test))        # (N, 32, 32, 3)
    labels = images.y_test[:limit]
    y_train, y_test = one_hot(images.y_train[:limit], len(names)), one_hot(labels, len(names))

    for net in (net_2, net_1):
        model = net(x_train.shape[1:], len(names), seed=1)
        model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
        stop = EarlyStopping(monitor="val_loss", patience=2, restore_best_weights=True)
        history = model.fit(
            x_train, y_train, batch_size=128, epochs=epochs, validation_data=(x_test, y_test), callbacks=[stop]
        )
        loss, accuracy = model.evaluate(x_test, y_test, batch_size=128)
        print(f"{model.name}: best in epoch {stop.best_epoch + 1}, validation loss {loss:.4f}, accuracy {accuracy:.4f}")

        run = f"runs/{data}-{model.name}"
        probabilities = model.predict(x_test, batch_size=128)                           # (N, K)
        plotting.history(history.history, title=f"{model.name} on {data}", path=f"{run}-history.png")
        plotting.confusion_matrix(labels, probabilities.argmax(axis=1), names, path=f"{run}-confusion.png")
        plotting.confident_mistakes(x_test, labels, probabilities, names, path=f"{run}-mistakes.png")
        print(f"Drawn: {run}-history.png, {run}-confusion.png, {run}-mistakes.png\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train net_2 and net_1 on photographs.")
    parser.add_argument("--data", default="cifar10", choices=("cifar10", "shapes"))
    parser.add_argument("--limit", type=int, help="use only the first LIMIT images")
    parser.add_argument("--epochs", type=int, default=8)
    main(**vars(parser.parse_args()))
