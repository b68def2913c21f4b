"""A base that is trained, frozen, and used under a new head; then the whole is trained with a lower rate."""

import keras
from keras import layers

(x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
x_train, x_test = x_train[..., None] / 255.0, x_test[..., None] / 255.0

base = keras.Sequential(
    [
        keras.Input(shape=(28, 28, 1)),
        layers.Conv2D(8, 3, strides=2, activation="relu"),
        layers.Conv2D(12, 3, strides=2, activation="relu"),
        layers.Flatten(),
    ],
    name="base",
)
first = keras.Sequential([base, layers.Dense(10, activation="softmax")])
first.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
first.fit(x_train, y_train, batch_size=32, epochs=1)

base.trainable = False
inputs = keras.Input(shape=(28, 28, 1))
x = base(inputs, training=False)
x = layers.Dense(16, activation="relu")(x)
outputs = layers.Dense(10, activation="softmax")(x)
model = keras.Model(inputs, outputs)
model.summary(show_trainable=True)
assert len(model.trainable_weights) == 4
assert len(model.non_trainable_weights) == 4
model.compile(keras.optimizers.Adam(), "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=32, epochs=2, validation_data=(x_test, y_test))

base.trainable = True
model.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=32, epochs=1, validation_data=(x_test, y_test))
