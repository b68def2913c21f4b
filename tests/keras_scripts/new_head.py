"""A trained model whose last layer is replaced."""

import keras
from keras.layers import Conv2D, Dense, Flatten, MaxPool2D

keras.utils.set_random_seed(1)
(x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
x_train, x_test = x_train[..., None] / 255.0, x_test[..., None] / 255.0
model = keras.Sequential()
model.add(Conv2D(6, 3, activation="relu", input_shape=(28, 28, 1), data_format="channels_last"))
model.add(MaxPool2D())
model.add(Flatten())
model.add(Dense(10, activation="softmax", name="digits"))
model.compile(loss="sparse_categorical_crossentropy", optimizer="adagrad", metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=40, epochs=1, verbose=0)

small = y_train < 5
model.pop()
for layer in model.layers:
    layer.trainable = False
model.add(Dense(5, activation="softmax", name="small_digits"))
model.compile(loss="sparse_categorical_crossentropy", optimizer="adagrad", metrics=["accuracy"])
model.fit(x_train[small], y_train[small], batch_size=40, epochs=2)
print([layer.name for layer in model.layers], model.count_params())
