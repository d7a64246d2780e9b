"""Speed and memory, each module a command: `python -m experiments.speed.search`, for one.

features, scale    files to stored features; datasets of a hundred thousand files
step, train        a training step against the machine's bound; training as a whole
latency            a call of `generate`, part by part
library, search    a folder embedded; nearest neighbours among a million
slicing            a long tape
options            the options that these commands share
"""
