"""What happens around training: a callback is told of each epoch and batch, and may look, note, save, slow or stop.

`fit` calls, in this order: on_train_begin; for each epoch on_epoch_begin, for each batch on_train_batch_begin and
on_train_batch_end, then on_epoch_end; on_train_end. `logs` holds the running means of an epoch's values so far, and at
its end those of validation as well. Names, defaults and meanings are Keras's; only a `monitor` that nobody
gives is refused, where Keras warns at the end of each epoch: before the first, or at the end of the first when a
callback of your own that comes before might have added it to the logs.
"""

from scratchnet.callbacks.base import Callback, CallbackList, History
from scratchnet.callbacks.files import CSVLogger, ModelCheckpoint
from scratchnet.callbacks.progress import EpochLines, ProgressBar
from scratchnet.callbacks.watching import EarlyStopping, Monitor, ReduceLROnPlateau

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "EpochLines",
    "History",
    "ModelCheckpoint",
    "Monitor",
    "ProgressBar",
    "ReduceLROnPlateau",
]
