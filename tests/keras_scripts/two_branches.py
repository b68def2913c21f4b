"""A graph with two branches, whose maps are concatenated.

Uses: layers.concatenate layers.GlobalMaxPooling2D
"""

import keras
from keras.layers import Conv2D, Dense, GlobalMaxPooling2D, Input, MaxPool2D, concatenate

(x_train, y_train), (x_test, y_test) = keras.datasets.fashion_mnist.load_data()
x_train, x_test = x_train[..., None] / 255.0, x_test[..., None] / 255.0

image = Input(shape=(28, 28, 1))
x = MaxPool2D(2)(image)
small = Conv2D(8, (1, 1), padding="same", activation="relu")(x)
large = Conv2D(8, (3, 3), padding="same", activation="relu")(x)
large = Conv2D(8, (3, 3), padding="same", activation="relu")(large)
merged = concatenate([small, large], axis=-1)
x = Conv2D(16, 3, activation="relu")(merged)
x = GlobalMaxPooling2D()(x)
output = Dense(10, activation="softmax")(x)
model = keras.models.Model(inputs=image, outputs=output)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=40, epochs=2, validation_data=(x_test, y_test))
