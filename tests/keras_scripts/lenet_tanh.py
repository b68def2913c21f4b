"""LeNet-5 with tanh and average-pooling, layer by layer.

Uses: activations.tanh losses.categorical_crossentropy
"""

import keras
from keras import layers

(x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
x_train = x_train.reshape(x_train.shape[0], 28, 28, 1).astype("float32") / 255
x_test = x_test.reshape(x_test.shape[0], 28, 28, 1).astype("float32") / 255
y_train = keras.utils.to_categorical(y_train)
y_test = keras.utils.to_categorical(y_test)

model = keras.Sequential(name="lenet5")
model.add(layers.Conv2D(6, kernel_size=(5, 5), strides=(1, 1), activation="tanh", input_shape=(28, 28, 1), padding="same"))
model.add(layers.AveragePooling2D(pool_size=(2, 2), strides=(1, 1), padding="valid"))
model.add(layers.Conv2D(16, kernel_size=(5, 5), strides=(1, 1), activation="tanh", padding="valid"))
model.add(layers.AveragePooling2D(pool_size=(2, 2), strides=(2, 2), padding="valid"))
model.add(layers.Conv2D(20, kernel_size=(5, 5), strides=(1, 1), activation="tanh", padding="valid"))
model.add(layers.Flatten())
model.add(layers.Dense(84, activation="tanh"))
model.add(layers.Dense(10, activation="softmax"))
model.compile(loss=keras.losses.categorical_crossentropy, optimizer="SGD", metrics=["accuracy"])
model.fit(x=x_train, y=y_train, epochs=2, batch_size=64, validation_data=(x_test, y_test), verbose=1)
