"""Models of models: a functional one within a Sequential one within another."""

import keras
from keras import layers


def conv_block(filters, shape):
    inputs = keras.Input(shape=shape)
    x = layers.Conv2D(filters, 3, padding="same", activation="relu")(inputs)
    y = layers.Conv2D(filters, 1, padding="same")(inputs)
    outputs = layers.Activation("relu")(layers.Add()([x, y]))
    return keras.Model(inputs, outputs, name=f"block_{filters}")


(x_train, y_train), (x_test, y_test) = keras.datasets.cifar10.load_data()
x_train, x_test = x_train / 255.0, x_test / 255.0
features = keras.Sequential(
    [conv_block(6, (32, 32, 3)), layers.MaxPooling2D(), conv_block(8, (16, 16, 6)), layers.MaxPooling2D()], name="features"
)
head = keras.Sequential([layers.Flatten(), layers.Dense(10, activation="softmax")], name="head")
model = keras.Sequential([features, head])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=32, epochs=2, validation_data=(x_test, y_test))
model.summary(expand_nested=True)
print([weight.path for weight in model.weights])
