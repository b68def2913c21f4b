"""The output of a layer in the middle, as the output of a second model."""

import keras
from keras import layers, models

(x_train, y_train), (x_test, y_test) = keras.datasets.cifar10.load_data()
x_train, x_test = x_train / 255.0, x_test / 255.0

model = models.Sequential()
model.add(layers.Conv2D(8, (3, 3), activation="relu", input_shape=(32, 32, 3)))
model.add(layers.MaxPooling2D((2, 2)))
model.add(layers.Conv2D(12, (3, 3), activation="relu", name="middle"))
model.add(layers.MaxPooling2D((2, 2)))
model.add(layers.Flatten())
model.add(layers.Dense(10))
model.compile(
    optimizer="adam", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
)
model.fit(x_train, y_train, epochs=1, validation_data=(x_test, y_test))

extractor = models.Model(inputs=model.inputs, outputs=model.get_layer("middle").output)
print(extractor.predict(x_test[:4]).shape)
activations = models.Model(model.inputs, model.layers[1].output)
print(activations.predict(x_test[:4]).shape)
filters, biases = model.layers[0].get_weights()
print(filters.shape, biases.shape, model.get_layer(index=2).name)
