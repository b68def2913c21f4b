"""Callbacks: objects whose methods `fit` calls before and after each epoch and each batch.

`fit` calls, in this order: on_train_begin; for each epoch on_epoch_begin, for each batch on_train_batch_begin and
on_train_batch_end, then on_epoch_end; on_train_end. `logs` holds the means over the epoch so far, and at the end of an epoch
those of validation too. Names, defaults and meanings are Keras's, except where a class says otherwise. A `monitor` that is not
in the logs is an error, while Keras only warns. The error is raised before the first epoch, or at the end of the first if a
callback of your own, earlier in the list, may have added the value to the logs.
"""

from scratchnet.callbacks.base import Callback, CallbackList, History
from scratchnet.callbacks.files import CSVLogger, ModelCheckpoint
from scratchnet.callbacks.others import LambdaCallback, TerminateOnNaN
from scratchnet.callbacks.progress import EpochLines, ProgressBar
from scratchnet.callbacks.rates import LearningRateScheduler
from scratchnet.callbacks.updates import UpdateRatios
from scratchnet.callbacks.watching import EarlyStopping, Monitor, ReduceLROnPlateau

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "EpochLines",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "Monitor",
    "ProgressBar",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
    "UpdateRatios",
]
