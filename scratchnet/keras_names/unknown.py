"""The sentence for a name that a namespace does not have: what to write instead, or the nearest name that exists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

_namespaces: dict[str, ModuleType] = {}
# What is imported when it is first used: modules of the package, and functions with the module that each is in.
LATER = {name: name for name in ("diagnosis", "exchange", "exercises", "explain")} | {"import_onnx": "exchange.onnx_import"}

# What to do instead, for each name; written as the remedy and the names that share it.
INSTEAD = {
    word: remedy
    for remedy, words in {
        "Convolution and pooling are over the two axes of images: give signals a second axis of length 1, x[:, :,"
        " np.newaxis], and use Conv2D with a kernel (k, 1)":
            "Conv1D Convolution1D Conv3D Convolution3D MaxPooling1D MaxPool1D MaxPooling3D MaxPool3D AveragePooling1D"
            " AvgPool1D AveragePooling3D AvgPool3D GlobalAveragePooling1D GlobalAvgPool1D GlobalAveragePooling3D"
            " GlobalAvgPool3D GlobalMaxPooling1D GlobalMaxPool1D GlobalMaxPooling3D GlobalMaxPool3D ZeroPadding1D"
            " ZeroPadding3D AdaptiveAveragePooling1D AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling3D"
            " Cropping1D Cropping3D UpSampling1D UpSampling3D SpatialDropout1D SpatialDropout3D",
        "Layers for sequences and text do not exist, since a network here sees images: use Keras itself":
            "LSTM LSTMCell GRU GRUCell SimpleRNN SimpleRNNCell RNN StackedRNNCells Bidirectional ConvLSTM1D ConvLSTM2D"
            " ConvLSTM3D TimeDistributed Masking Embedding ReversibleEmbedding TextVectorization StringLookup"
            " IntegerLookup Hashing HashedCrossing CategoryEncoding Discretization MelSpectrogram STFTSpectrogram"
            " pad_sequences text_dataset_from_directory sequence text Tokenizer timeseries_dataset_from_array"
            " audio_dataset_from_directory",
        "Attention does not exist, since a network here is convolutional: use Keras itself":
            "Attention AdditiveAttention MultiHeadAttention GroupQueryAttention EinsumDense",
        "Each filter sees all channels: use Conv2D":
            "DepthwiseConv2D SeparableConv2D SeparableConvolution2D DepthwiseConv1D SeparableConv1D"
            " SeparableConvolution1D",
        "No layer makes images larger, since a network here ends in classes: use Conv2D, with strides that make them"
        " smaller":
            "Conv2DTranspose Convolution2DTranspose Conv1DTranspose Convolution1DTranspose Conv3DTranspose"
            " Convolution3DTranspose UpSampling2D",
        "Change the size of the images before training": "Resizing CenterCrop Cropping2D smart_resize",
        "matplotlib.pyplot reads and writes a picture: plt.imread(path), plt.imsave(path, image)":
            "load_img img_to_array array_to_img save_img",
        "Use BatchNormalization":
            "LayerNormalization GroupNormalization RMSNormalization UnitNormalization SpectralNormalization",
        "Use preprocessing.standardize(x_train, x_test), or Rescaling(1 / 255)": "Normalization",
        "Use Dropout": "GaussianDropout AlphaDropout GaussianNoise ActivityRegularization",
        "The augmentation layers are RandomFlip, RandomTranslation and RandomCrop: put them at the start of the model":
            "ImageDataGenerator image RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast"
            " RandomElasticTransform RandomErasing RandomGaussianBlur RandomGrayscale RandomHue RandomInvert"
            " RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear"
            " RandomZoom RandAugment AugMix CutMix MixUp AutoContrast Equalization Solarization"
            " ContrastLimitedAdaptiveHistogramEqualization Pipeline RandomWidth RandomHeight",
        "Layers of several inputs are Add and Concatenate":
            "Average Dot Maximum Minimum Multiply Subtract average dot maximum minimum multiply subtract merge Merge",
        "Derive a class from layers.Layer, with forward and backward; examples/05_your_own_layer.py shows one":
            "Lambda Wrapper JaxLayer FlaxLayer TorchModuleWrapper TFSMLayer Identity InputSpec MaxNumBoundingBoxes",
        "Use Reshape or Flatten": "Permute RepeatVector",
        "Use GlobalAveragePooling2D or GlobalMaxPooling2D": "AdaptiveAveragePooling2D AdaptiveMaxPooling2D",
        "Use ReLU, LeakyReLU or ELU":
            "PReLU ThresholdedReLU celu glu hard_shrink hard_tanh soft_shrink tanh_shrink threshold squareplus"
            " sparse_plus hard_sigmoid hard_silu hard_swish mish exponential softsign sparse_sigmoid sparsemax",
        "Use losses.CategoricalCrossentropy(from_logits=True)": "log_sigmoid",
        "Dense, Conv2D and the others are in layers itself: from scratchnet.layers import Dense":
            "core convolutional normalization pooling advanced_activations noise embeddings recurrent wrappers_v1 local",
        "save(path) and load_model(path) keep the graph and the weights in one .npz":
            "model_from_json model_from_yaml model_from_config saving legacy export register_keras_serializable"
            " get_custom_objects custom_object_scope CustomObjectScope get_registered_name get_registered_object"
            " serialize_keras_object deserialize_keras_object",
        "load_model(path, custom_objects={...}) takes classes by name; get_config() returns an object's arguments":
            "serialize deserialize",
        "A model knows its input: model.input": "get_source_inputs",
        "It is part of utils now: from scratchnet.utils import to_categorical": "np_utils",
        "Use model.summary(), or utils.plot_model(model)": "model_to_dot vis_utils",
        "Data are arrays in memory: fit(x, y) cuts batches and shuffles":
            "Sequence PyDataset data Dataset image_dataset_from_directory split_dataset pack_x_y_sample_weight"
            " unpack_x_y_sample_weight FeatureSpace AUTOTUNE io image_utils data_utils",
        "Use pooch, or the data sets of scratchnet.datasets": "get_file",
        "fit shows progress with verbose=1":
            "Progbar generic_utils enable_interactive_logging disable_interactive_logging"
            " is_interactive_logging_enabled ProgbarLogger",
        "Derive a class from callbacks.Callback": "RemoteMonitor SwapEMAWeights",
        "Use callbacks.ModelCheckpoint": "BackupAndRestore OrbaxCheckpoint",
        "Use callbacks.CSVLogger, and plotting.history for a picture": "TensorBoard",
        "Pretrained networks do not exist: build a network of layers, and train it": "applications hub",
        "Arrays are NumPy's: use np":
            "constant convert_to_tensor Variable ops math linalg float32 float64 int32 uint8 cast reshape reduce_mean"
            " argmax expand_dims Tensor KerasTensor numpy newaxis zeros ones",
        "Gradients are computed by backward: model.train_on_batch(x, y) is one step, and model.grads holds its"
        " gradients":
            "GradientTape function Function stop_gradient",
        "Call utils.set_random_seed(seed), or pass seed= to Model": "random",
        "Kernels use all cores by themselves; NUMBA_NUM_THREADS limits them":
            "config device distribute test ConfigProto Session compat",
        "A model has one dtype: Model(..., dtype='float64')":
            "mixed_precision dtype_policies DTypePolicy FloatDTypePolicy set_epsilon cast_to_floatx LossScaleOptimizer",
        "The classes are in layers, losses, optimizers, initializers and callbacks":
            "Initializer Operation",
        "SGD, Adam and the others are in optimizers itself: from scratchnet.optimizers import Adam":
            "optimizers.legacy optimizer_v2 adam rmsprop",
        "Use Adam": "Adamax Adafactor Ftrl Lamb Lion Muon ScheduleFreeAdamW MultiOptimizer OptimizerMap",
        "Constraints do not exist: use a regularizer": "constraints",
        "KerasClassifier does not exist: call fit and predict": "wrappers KerasClassifier KerasRegressor scikit_learn",
        "optimizer.learning_rate = 0.001 sets it, and the arrays of a layer are set by set_weights": "set_value",
        "The axes of images are (N, H, W, C): x.transpose(0, 2, 3, 1) moves channels from the front to the end":
            "image_dim_ordering set_image_dim_ordering",
        "activation= takes the name or the function itself: activation='relu'": "activations.get",
        "The loss is in every history, as loss and val_loss":
            "metrics.CategoricalCrossentropy metrics.SparseCategoricalCrossentropy metrics.categorical_crossentropy"
            " metrics.sparse_categorical_crossentropy",
        "Use plotting": "visualization",
        "Pass it to fit: model.fit(x, y, distribution=distribution.DataParallel())":
            "set_distribution ModelParallel DeviceMesh TensorLayout LayoutMap Distribution MirroredStrategy",
        "The classes that exist are those of losses and metrics": "estimator",
    }.items()
    for word in words.split()
}

# What a namespace is for, when there is nothing to say of the name itself.
OF_NAMESPACES = {
    "layers": "Layers are those of convolutional networks for images, and a class derived from layers.Layer is a layer of your own",
    "losses": "A network here predicts classes, so the losses are CategoricalCrossentropy and SparseCategoricalCrossentropy",
    "metrics": "Write metrics=['accuracy'], and metrics.confusion_matrix(y, predict(x).argmax(axis=1), K) for more",
    "optimizers": "A class derived from optimizers.Optimizer is an optimizer of your own",
    "callbacks": "A class derived from callbacks.Callback is a callback of your own",
    "datasets": "Data sets are those of images: mnist, fashion_mnist, cifar10, glyphs, shapes, or your own arrays",
    "initializers": "A function of (shape, rng) that returns an array is an initializer of your own",
    "backend": "Arrays are NumPy's: use np",
    "utils": "The others are NumPy's or Python's: use those",
}


def sentence(namespace: str, word: str) -> str:
    """Return what was expected in a namespace, the name that was received, and what to write instead."""
    who = f"scratchnet.{namespace}".rstrip(".")
    return f"{who}: expected a name that exists here, got {word}. {_remedy(namespace, word)}"


def _remedy(namespace: str, word: str) -> str:
    if remedy := INSTEAD.get(f"{namespace}.{word}"):
        return remedy
    elsewhere = [name for name, module in _namespaces.items() if name != namespace and word in getattr(module, "__all__", ())]
    if elsewhere:
        return f"It is scratchnet.{elsewhere[0]}.{word}".replace("..", ".")
    if remedy := INSTEAD.get(word):
        return remedy
    if namespace in ("", "backend") and hasattr(np, word):
        return f"Arrays are NumPy's: use np.{word}"
    module = _namespaces[namespace]
    public = [name for name in getattr(module, "__all__", None) or dir(module) if not name.startswith("_")]
    lower = {name.lower(): name for name in public}
    near = get_close_matches(word.lower(), lower, n=1, cutoff=0.75)
    if near:
        return f"The nearest is {lower[near[0]]}"
    return OF_NAMESPACES.get(namespace) or f"It has {', '.join(sorted(public)[:12])} and others"


def _answer(namespace: str) -> Callable[[str], Any]:
    def __getattr__(name: str) -> Any:  # noqa: N807 - Python calls it for a name that a module does not have
        if not namespace and name in LATER:
            module = import_module(f"scratchnet.{LATER[name]}")
            return module if LATER[name] == name else getattr(module, name)
        if name.startswith("_"):
            raise AttributeError(f"module {_namespaces[namespace].__name__!r} has no attribute {name!r}")
        raise AttributeError(sentence(namespace, name))

    return __getattr__


def install(namespaces: Mapping[str, ModuleType]) -> None:
    """Set the `__getattr__` of each namespace: it raises the sentence for a name that does not exist."""
    _namespaces.update(namespaces)
    for namespace, module in namespaces.items():
        setattr(module, "__getattr__", _answer(namespace))  # noqa: B010 - mypy must still find misspelt names in the package
