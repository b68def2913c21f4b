"""A model that is saved, loaded, and trained further; and weights that are copied through a file into a second model."""

import keras
import numpy as np
from keras import layers

(x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
x_train, x_test = x_train / 255.0, x_test / 255.0


def create_model():
    model = keras.models.Sequential(
        [
            layers.Dense(32, activation="relu", input_shape=(784,)),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


x_train, x_test = x_train.reshape(-1, 28 * 28), x_test.reshape(-1, 784)
model = create_model()
model.fit(x_train, y_train, epochs=1, validation_data=(x_test, y_test))
model.save("my_model.keras")
model.save_weights("my_model.weights.h5")
again = keras.models.load_model("my_model.keras")
np.testing.assert_allclose(model.predict(x_test), again.predict(x_test), rtol=1e-5, atol=1e-6)
again.fit(x_train, y_train, epochs=1)
other = create_model()
other.load_weights("my_model.weights.h5")
loss, acc = other.evaluate(x_test, y_test, verbose=2)
print(f"Restored model, accuracy: {100 * acc:5.2f}%")
assert len(again.layers) == 2
