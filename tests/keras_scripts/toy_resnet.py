"""A small residual network with two blocks.

Uses: layers.GlobalAveragePooling2D layers.Dropout optimizers.RMSprop layers.add
"""

import keras
from keras import layers

(x_train, y_train), (x_test, y_test) = keras.datasets.cifar10.load_data()
x_train, x_test = x_train.astype("float32") / 255.0, x_test.astype("float32") / 255.0
y_train, y_test = keras.utils.to_categorical(y_train, 10), keras.utils.to_categorical(y_test, 10)

inputs = keras.Input(shape=(32, 32, 3), name="img")
x = layers.Conv2D(8, 3, activation="relu")(inputs)
x = layers.Conv2D(16, 3, activation="relu")(x)
block_1 = layers.MaxPooling2D(3)(x)

x = layers.Conv2D(16, 3, activation="relu", padding="same")(block_1)
x = layers.Conv2D(16, 3, activation="relu", padding="same")(x)
block_2 = layers.add([x, block_1])

x = layers.Conv2D(16, 3, activation="relu", padding="same")(block_2)
x = layers.Conv2D(16, 3, activation="relu", padding="same")(x)
block_3 = layers.add([x, block_2])

x = layers.Conv2D(16, 3, activation="relu")(block_3)
x = layers.GlobalAveragePooling2D()(x)
x = layers.Dense(32, activation="relu")(x)
x = layers.Dropout(0.5)(x)
outputs = layers.Dense(10)(x)

model = keras.Model(inputs, outputs, name="toy_resnet")
model.summary()
model.compile(
    optimizer=keras.optimizers.RMSprop(1e-3),
    loss=keras.losses.CategoricalCrossentropy(from_logits=True),
    metrics=["acc"],
)
model.fit(x_train[:100], y_train[:100], batch_size=64, epochs=2, validation_split=0.2)
