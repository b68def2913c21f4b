"""A multilayer perceptron with input_dim, and the class of each prediction."""

import keras
import numpy as np
from keras.layers import Activation, Dense
from keras.models import Sequential
from keras.optimizers import SGD
from keras.utils import to_categorical

np.random.seed(7)
(X_train, y_train), (X_test, y_test) = keras.datasets.mnist.load_data()
num_pixels = X_train.shape[1] * X_train.shape[2]
X_train = X_train.reshape(X_train.shape[0], num_pixels).astype("float32")
X_test = X_test.reshape(X_test.shape[0], num_pixels).astype("float32")
X_train = X_train / 255
X_test = X_test / 255
y_train = to_categorical(y_train)
y_test = to_categorical(y_test)
num_classes = y_test.shape[1]

model = Sequential()
model.add(Dense(40, input_dim=num_pixels, kernel_initializer="glorot_uniform", activation="relu"))
model.add(Dense(20))
model.add(Activation("relu"))
model.add(Dense(num_classes))
model.add(Activation("softmax"))
model.compile(loss="categorical_crossentropy", optimizer=SGD(learning_rate=0.1), metrics=["accuracy"])
model.fit(X_train, y_train, validation_data=(X_test, y_test), epochs=2, batch_size=20, verbose=2)
scores = model.evaluate(X_test, y_test, verbose=0)
print(f"Baseline Error: {100 - scores[1] * 100:.2f}%")
classes = np.argmax(model.predict(X_test), axis=1)
print(classes[:5], model.layers[0].kernel.shape, model.layers[-1].output.shape)
