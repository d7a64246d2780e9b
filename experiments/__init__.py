"""Measurements and comparisons that the documentation quotes; each number has a command.

    release    what is published: models with their cards, pictures, the page of all results
    quality    how good models, sounds and onsets are
    speed      seconds and megabytes
    common     what they share: real sounds, recipes, trained models, tables

`release`, `quality` and `speed` use `common` and do not know each other. `house` measures the code itself.
"""

from vaelab import numba_cache

numba_cache.provide()  # before librosa is imported, with which much here is compared
