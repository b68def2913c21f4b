"""A schedule of the learning rate in place of a number.

Uses: optimizers.schedules
"""

import keras

(x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
x_train, x_test = x_train.reshape(-1, 784) / 255.0, x_test.reshape(-1, 784) / 255.0
y_train, y_test = keras.utils.to_categorical(y_train, 10), keras.utils.to_categorical(y_test, 10)
schedule = keras.optimizers.schedules.ExponentialDecay(initial_learning_rate=1e-2, decay_steps=3, decay_rate=0.9)
model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(10, "softmax")])
model.compile(
    optimizer=keras.optimizers.Adam(learning_rate=schedule), loss="categorical_crossentropy", metrics=["categorical_accuracy"]
)
history = model.fit(x_train, y_train, epochs=2, batch_size=32, validation_data=(x_test, y_test))
print(history.history["val_categorical_accuracy"])
