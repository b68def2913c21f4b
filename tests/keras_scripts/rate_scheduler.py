"""A function that gives the learning rate of each epoch.

Uses: callbacks.LearningRateScheduler
"""

import keras
from keras.callbacks import LearningRateScheduler
from keras.layers import Dense, Flatten, Input
from keras.models import Sequential


def step_decay(epoch, lr):
    return 0.1 if epoch < 1 else lr * 0.5


(x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
model = Sequential([Input((28, 28)), Flatten(), Dense(32, activation="relu"), Dense(10, activation="softmax")])
model.compile(optimizer=keras.optimizers.SGD(0.01, momentum=0.8), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(
    x_train / 255.0,
    y_train,
    epochs=3,
    batch_size=32,
    validation_data=(x_test / 255.0, y_test),
    callbacks=[LearningRateScheduler(step_decay)],
)
