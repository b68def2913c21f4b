"""Weight decay by a regularizer, and He's initial weights.

Uses: regularizers.l2 initializers.HeNormal optimizers.Nadam
"""

import keras
from keras import initializers, layers, regularizers

(x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
x_train, x_test = x_train[..., None] / 255.0, x_test[..., None] / 255.0
weight_decay = 1e-3
model = keras.Sequential(
    [
        layers.Conv2D(
            8,
            3,
            strides=2,
            activation="relu",
            kernel_regularizer=regularizers.l2(weight_decay),
            kernel_initializer=initializers.HeNormal(),
            input_shape=(28, 28, 1),
        ),
        layers.Flatten(),
        layers.Dense(16, activation="relu", kernel_regularizer=keras.regularizers.L2(0.01)),
        layers.Dense(10, activation="softmax", trainable=True),
    ]
)
model.compile(optimizer=keras.optimizers.Nadam(), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, epochs=2, batch_size=32, validation_data=(x_test, y_test))
