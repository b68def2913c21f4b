"""Blocks in the manner of VGG, each convolution followed by batch normalization.

Uses: layers.BatchNormalization layers.Dropout
"""

from keras.datasets import cifar10
from keras.layers import Activation, BatchNormalization, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from keras.models import Sequential
from keras.optimizers import Adam
from keras.utils import to_categorical

(x_train, y_train), (x_test, y_test) = cifar10.load_data()
x_train = x_train / 255.0
x_test = x_test / 255.0
y_train = to_categorical(y_train, 10)
y_test = to_categorical(y_test, 10)

model = Sequential()
for block, filters in enumerate([8, 16]):
    shape = {"input_shape": (32, 32, 3)} if block == 0 else {}
    model.add(Conv2D(filters, (3, 3), padding="same", kernel_initializer="he_uniform", **shape))
    model.add(BatchNormalization())
    model.add(Activation("relu"))
    model.add(Conv2D(filters, (3, 3), padding="same", use_bias=False))
    model.add(BatchNormalization(axis=-1, momentum=0.9))
    model.add(Activation("relu"))
    model.add(MaxPooling2D((2, 2)))
    model.add(Dropout(0.2 + 0.1 * block))
model.add(Flatten())
model.add(Dense(10, activation="softmax"))
model.summary()
model.compile(optimizer=Adam(learning_rate=0.001), loss="categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x_train, y_train, epochs=2, batch_size=64, validation_data=(x_test, y_test))
