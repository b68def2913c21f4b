"""Weights of classes, for a set in which some are rare.

Uses: fit(class_weight) fit(sample_weight)
"""

import keras
import numpy as np

(x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
x_train, x_test = x_train.reshape(-1, 784) / 255.0, x_test.reshape(-1, 784) / 255.0
model = keras.Sequential([keras.layers.Dense(24, activation="relu", input_dim=784), keras.layers.Dense(10, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
class_weight = dict.fromkeys(range(10), 1.0)
class_weight[5] = 2.0
model.fit(x_train, y_train, batch_size=64, epochs=2, class_weight=class_weight)
sample_weight = np.ones(shape=(len(y_train),))
sample_weight[y_train == 5] = 2.0
model.fit(x_train, y_train, sample_weight=sample_weight, batch_size=64, epochs=1)
model.evaluate(x_test, y_test)
