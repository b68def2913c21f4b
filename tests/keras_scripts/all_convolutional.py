"""A network of convolutions alone, which ends in global average pooling.

Uses: layers.GlobalAveragePooling2D layers.Dropout
"""

import keras
from keras.layers import Activation, Conv2D, Dropout, GlobalAveragePooling2D

(x_train, y_train), (x_test, y_test) = keras.datasets.cifar10.load_data()
x_train = x_train.astype("float32") / 255
x_test = x_test.astype("float32") / 255

model = keras.models.Sequential()
model.add(keras.layers.InputLayer(shape=(32, 32, 3)))
model.add(Conv2D(16, (3, 3), padding="same"))
model.add(Activation("relu"))
model.add(Conv2D(16, (3, 3), padding="same", strides=(2, 2)))
model.add(Activation("relu"))
model.add(Dropout(0.5))
model.add(Conv2D(16, (1, 1), padding="valid"))
model.add(Activation("relu"))
model.add(Conv2D(10, (1, 1), padding="valid"))
model.add(GlobalAveragePooling2D())
model.add(Activation("softmax"))
model.compile(
    loss="sparse_categorical_crossentropy",
    optimizer=keras.optimizers.SGD(learning_rate=0.01, momentum=0.9, nesterov=True),
    metrics=["sparse_categorical_accuracy"],
)
model.fit(x_train, y_train, batch_size=32, epochs=2, validation_data=(x_test, y_test))
