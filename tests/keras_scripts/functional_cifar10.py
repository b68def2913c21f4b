"""A functional net for CIFAR-10, with one-hot labels and a validation split."""

from keras import Model
from keras.datasets import cifar10
from keras.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D
from keras.utils import to_categorical

(x_train, y_train), (x_test, y_test) = cifar10.load_data()
x_train, x_test = x_train.astype("float32") / 255.0, x_test.astype("float32") / 255.0
y_train, y_test = to_categorical(y_train, 10), to_categorical(y_test, 10)

inputs = Input(shape=x_train.shape[1:])
x = Conv2D(16, (3, 3), padding="same", activation="relu")(inputs)
x = Conv2D(16, (3, 3), activation="relu")(x)
x = MaxPooling2D((2, 2))(x)
x = Conv2D(24, 3, strides=2, padding="SAME", activation="relu")(x)
x = Flatten()(x)
x = Dense(32, activation="relu")(x)
outputs = Dense(10, activation="softmax")(x)
model = Model(inputs=[inputs], outputs=[outputs])
model.summary(line_length=90)
model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x_train, y_train, batch_size=32, epochs=2, validation_split=0.2)
score = model.evaluate(x_test, y_test, verbose=0)
print("Test accuracy:", score[1])
