"""Training runs that are the same in Keras and here: weights of samples and classes, smoothed labels, regularizers, metrics.

`python tests/keras_histories.py`, where Keras is installed, writes the histories of Keras into tests/keras_histories.json.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

RECORDED = Path(__file__).with_suffix(".json")
N, K, SHAPE = 22, 5, (7, 6, 2)


def data():
    """22 images, their labels of either kind, and weights."""
    rng = np.random.default_rng(17)
    x = rng.standard_normal((N, *SHAPE)).astype("float32")
    labels = rng.integers(0, K, N)
    return SimpleNamespace(x=x, labels=labels, y=np.eye(K)[labels], soft=rng.dirichlet(np.ones(K), N), w=rng.uniform(0, 3, N))


d = data()
CLASSES = {0: 0.5, 1: 3.0, 2: 1.0, 3: 0.0, 4: 2.0}


def case(loss="categorical_crossentropy", y=None, metrics=("accuracy",), weighted=(), last="softmax", layers=None, **fit):
    return SimpleNamespace(
        loss=loss, y=d.y if y is None else y, metrics=metrics, weighted=weighted, last=last, layers=layers, fit=fit
    )


def of_losses(kind, **arguments):
    return lambda keras: getattr(keras.losses, kind)(**arguments)


def of_regularizers(name, *arguments):
    return lambda keras: getattr(keras.regularizers, name)(*arguments)


def of_metrics(kind, **arguments):
    return lambda keras: getattr(keras.metrics, kind)(**arguments)


SPARSE = {"loss": "sparse_categorical_crossentropy", "y": d.labels}
CASES = {
    "plain": case(),
    "sample_weight": case(sample_weight=d.w),
    "sample_weight as a column": case(sample_weight=d.w[:, None]),
    "sample_weight, sparse": case(**SPARSE, sample_weight=d.w),
    "sample_weight of zeros and ones": case(sample_weight=(d.w > 1).astype("float32"), weighted=("accuracy",)),
    "sample_weight, soft labels": case(y=d.soft, sample_weight=d.w),
    "class_weight": case(class_weight=CLASSES),
    "class_weight, sparse": case(**SPARSE, class_weight=CLASSES),
    "class_weight, labels as a column": case(loss="sparse_categorical_crossentropy", y=d.labels[:, None], class_weight=CLASSES),
    "class_weight of some classes": case(class_weight={1: 4.0}),
    "class_weight, soft labels": case(y=d.soft, class_weight=CLASSES),
    "weighted_metrics": case(metrics=None, weighted=("accuracy",), sample_weight=d.w),
    "metrics and weighted_metrics": case(weighted=("accuracy", "acc"), sample_weight=d.w),
    "weighted_metrics without weights": case(weighted=("accuracy",)),
    "validation_data with weights": case(sample_weight=d.w, validation_data=(d.x[:9], d.y[:9], d.w[:9]), weighted=("acc",)),
    "validation_data without weights": case(class_weight=CLASSES, validation_data=(d.x[:9], d.y[:9])),
    "validation_split of weights": case(sample_weight=d.w, validation_split=0.3, weighted=("acc",)),
    "validation_split with class_weight": case(class_weight=CLASSES, validation_split=0.3, weighted=("acc",)),
    "label_smoothing": case(loss=of_losses("CategoricalCrossentropy", label_smoothing=0.1)),
    "label_smoothing of 1": case(loss=of_losses("CategoricalCrossentropy", label_smoothing=1.0)),
    "label_smoothing of logits": case(
        loss=of_losses("CategoricalCrossentropy", from_logits=True, label_smoothing=0.3), last=None, sample_weight=d.w
    ),
    "L2": case(layers={"kernel_regularizer": of_regularizers("L2", 0.02)}, validation_split=0.3),
    "L1": case(layers={"kernel_regularizer": of_regularizers("L1", 0.01), "bias_regularizer": of_regularizers("l1", 0.3)}),
    "L1L2": case(layers={"kernel_regularizer": of_regularizers("L1L2", 0.01, 0.02), "bias_regularizer": lambda keras: "l2"}),
    "L2 of a frozen layer": case(layers={"kernel_regularizer": of_regularizers("L2", 0.02), "trainable": False}),
    "everything": case(
        loss=of_losses("CategoricalCrossentropy", label_smoothing=0.1),
        layers={"kernel_regularizer": of_regularizers("l2", 0.02)},
        metrics=("acc",),
        class_weight=CLASSES,
        validation_data=(d.x[:9], d.y[:9], d.w[:9]),
        validation_freq=2,
        steps_per_epoch=2,
    ),
    "steps_per_epoch of 1": case(steps_per_epoch=1),
    "steps_per_epoch of 2": case(steps_per_epoch=2),
    "steps_per_epoch of all": case(steps_per_epoch=3),
    "steps_per_epoch of too many": case(steps_per_epoch=5),
    "steps_per_epoch without batch_size": case(steps_per_epoch=4, batch_size=None),
    "batch_size of 32": case(batch_size=None),
    "validation_freq of 2": case(validation_data=(d.x[:9], d.y[:9]), validation_freq=2),
    "validation_freq of a list": case(validation_data=(d.x[:9], d.y[:9]), validation_freq=[1, 4]),
    "validation_steps": case(validation_data=(d.x, d.y), validation_steps=2),
    "validation_steps and batches": case(validation_data=(d.x, d.y), validation_steps=2, validation_batch_size=3),
    "validation_steps without batch_size": case(validation_data=(d.x, d.y), validation_steps=3, batch_size=None),
    "initial_epoch": case(initial_epoch=3),
    "metrics by name": case(metrics=("acc", "Accuracy", "categorical_accuracy", "top_k_categorical_accuracy")),
    "metrics by class": case(metrics=(of_metrics("CategoricalAccuracy"), of_metrics("TopKCategoricalAccuracy", k=2, name="top2"))),
    "metrics of one name": case(metrics=("accuracy", "accuracy", of_metrics("CategoricalAccuracy", name="accuracy"))),
    "metrics of integers": case(
        **SPARSE, metrics=("sparse_categorical_accuracy", of_metrics("SparseTopKCategoricalAccuracy", k=3), "acc")
    ),
    "a function as a metric": case(metrics=(lambda keras: keras.metrics.categorical_accuracy,)),
    "a function as a loss": case(loss=lambda keras: keras.losses.categorical_crossentropy),
    "a function as a sparse loss": case(**{**SPARSE, "loss": lambda keras: keras.losses.sparse_categorical_crossentropy}),
    "a class as a name": case(loss="CategoricalCrossentropy"),
}


def run(keras, chosen):
    """Train a small network in Keras or in scratchnet, which has the same names; return the histories and what evaluate returns."""
    made = [made(keras) if callable(made) else made for made in (chosen.loss, *(chosen.metrics or ()), *chosen.weighted)]
    options = {key: value(keras) if callable(value) else value for key, value in (chosen.layers or {}).items()}
    frozen = not options.pop("trainable", True)
    model = keras.Sequential(
        [
            keras.Input(shape=SHAPE),
            keras.layers.Conv2D(3, (3, 2), padding="same", activation="relu", **options),
            keras.layers.MaxPooling2D((2, 2)),
            keras.layers.Flatten(),
            keras.layers.Dense(K, activation=chosen.last, **options),
        ]
    )
    if frozen:
        model.get_layer("conv2d" if keras.__name__ == "scratchnet" else model.layers[0].name).trainable = False
    rng = np.random.default_rng(3)
    model.set_weights([(0.3 * rng.standard_normal(w.shape)).astype("float32") for w in model.get_weights()])
    plain = len(chosen.metrics or ())
    model.compile(
        keras.optimizers.SGD(0.1), made[0], metrics=made[1 : 1 + plain] or None, weighted_metrics=made[1 + plain :] or None
    )
    fit = {"batch_size": 8, "epochs": 4, **chosen.fit}
    history = dict(model.fit(d.x, chosen.y, shuffle=False, verbose=0, **fit).history)
    for title, options in {"evaluate": {"batch_size": 8, "sample_weight": d.w}, "evaluate 2 steps": {"steps": 2}}.items():
        values = model.evaluate(d.x, chosen.y, **options, verbose=0, return_dict=True)
        history |= {f"{title}: {name}": value for name, value in values.items()}
    history["predict 1 step"] = np.asarray(model.predict(d.x, batch_size=2, steps=1, verbose=0)).ravel()
    return {name: np.asarray(values, float).reshape(-1).tolist() for name, values in history.items()}


if __name__ == "__main__":
    import keras

    recorded = {}
    for name, chosen in CASES.items():
        keras.backend.clear_session()
        recorded[name] = {key: [float(f"{value:.8g}") for value in values] for key, values in run(keras, chosen).items()}
        print(name, file=sys.stderr)
    RECORDED.write_text("{\n" + ",\n".join(f"{json.dumps(n)}: {json.dumps(h)}" for n, h in recorded.items()) + "\n}\n")
