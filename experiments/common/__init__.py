"""Ground of the experiments.

real_sounds, measures    the sounds that experiments are judged on; clips, features, spectral convergence
recipes, trained         recipes of the shipped models; a model trained for the occasion
latents                  active units, and the gap between all posteriors together and the prior
samplevae_2d             a model with SampleVAE's layers, as a bound
commands, results        the command line of an experiment; the files of results
tables, timing           tables as text and as Markdown; the time of calls
"""
