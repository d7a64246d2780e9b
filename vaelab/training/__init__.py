"""Training: the loop, its jitted step, batches, schedule, and the folder of a run.

Public names:

    train           a dataset to a model in a logdir, resumable
    fit, gather     the loop alone, on features in memory or in the store
    StoppedError    a run that a signal stopped, where that was asked for
    config_in       the config of a run
    start           the model that a run starts from
    train_step, batches    one step, and the rows that it is given
    augment, probe         variants of sounds; the probe of timbre
    classifier             the classifier in closed form
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["augment", "batches", "classifier", "probe", "train_step"],
    submod_attrs={
        "logdir": ["Evaluation", "StoppedError", "TrainError", "config_in"],
        "loop": ["fit", "gather", "train"],
        "starting": ["start"],
    },
)
