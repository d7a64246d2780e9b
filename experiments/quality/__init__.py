"""Quality, each module a command: `python -m experiments.quality.prior`, for one.

run                         questions of `configs/`: trainings compared
energies                    the flow alone, on densities of the plane
inversion, reconstruction   mel features back to sound; the same through a model
prior, honesty, descriptors made sounds, verdicts on sounds, sliders of a trained model
classify, retrieval         classes of drums; similar sounds
slicing                     onsets on tapes
"""
