"""What a decoder may do to its process, for tests of the workers."""

import os
import resource
import sys

import numpy as np


class RefusalError(Exception):
    reason = "refused"


def behave(how: str, value: int = 0):
    """Do as told."""
    if how == "die":
        os._exit(3)
    if how == "crash":
        os.abort()
    if how == "spin":
        while True:
            value += 1
    if how == "eat":
        return len(np.ones(2 << 30, np.uint8))
    if how == "array":
        return np.arange(value, dtype=np.float32)
    if how == "array in a small file":
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        return np.arange(value, dtype=np.float32)
    if how == "refuse":
        raise RefusalError
    if how == "stumble":
        raise KeyError(value)
    if how == "tell":
        return os.getpid(), resource.getrlimit(resource.RLIMIT_AS)[0], sorted(sys.modules)
    return value
