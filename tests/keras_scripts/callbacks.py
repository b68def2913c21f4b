"""The callbacks of most scripts: stop early, lower the rate, keep the best model, write a table."""

import keras
from keras.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from keras.layers import Conv2D, Dense, Flatten, MaxPooling2D

(x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
x_train = x_train.reshape((-1, 28, 28, 1)).astype("float32") / 255
x_test = x_test.reshape((-1, 28, 28, 1)).astype("float32") / 255
model = keras.models.Sequential()
model.add(keras.Input(shape=(28, 28, 1)))
model.add(Conv2D(8, (3, 3), activation="relu", name="conv"))
model.add(MaxPooling2D(2, 2))
model.add(Flatten())
model.add(Dense(10, activation="softmax"))
model.compile(loss="sparse_categorical_crossentropy", optimizer=keras.optimizers.Adam(learning_rate=0.01), metrics=["accuracy"])
callbacks = [
    EarlyStopping(monitor="val_loss", patience=1, restore_best_weights=True),
    ReduceLROnPlateau(monitor="val_loss", factor=0.2, patience=1, min_lr=1e-5),
    ModelCheckpoint("best.keras", monitor="val_accuracy", save_best_only=True),
    CSVLogger("log.csv"),
]
history = model.fit(x_train, y_train, batch_size=32, epochs=3, validation_data=(x_test, y_test), callbacks=callbacks)
acc, val_acc = history.history["accuracy"], history.history["val_accuracy"]
print(range(1, len(acc) + 1), val_acc)
model = keras.models.load_model("best.keras")
model.evaluate(x_test, y_test)
