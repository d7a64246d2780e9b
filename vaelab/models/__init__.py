"""Trained models: files, devices, evaluation, and what a model knows of its training sounds.

Public names:

    checkpoint, pretrained    a model in one file; the models that ship
    devices                   the mesh that arrays live on, and cached compilations
    evaluate                  held-out metrics and confusion matrices
    familiarity               whether a sound is like those that a model was trained on
    flow_diagnostics          a posterior before, between and after its flow steps
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["checkpoint", "devices", "evaluate", "familiarity", "flow_diagnostics", "pretrained"],
    submod_attrs={},
)
