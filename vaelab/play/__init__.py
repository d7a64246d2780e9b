"""Playing a trained model: `SoundSampleTool`, latent arithmetic, rendering, recipes.

Public names:

    SoundSampleTool, regenerate    a model and a library, and all that they do; a written sound again
    latent, prior, directions      weighted sums and paths, random points, named directions
    rendering                      latents to samples
    sources                        sources of mixes, measured
    detail                         what decodings of the sources lack
    provenance                     recipes and the sources that they name
    levels                         one sound's level over time, given to another
    transcode                      a sliced recording, each segment replaced by a model's sound
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["detail", "directions", "latent", "levels", "prior", "provenance", "rendering", "sources", "transcode"],
    submod_attrs={
        "checks": ["ToolError", "check_files", "outputs"],
        "regenerate": ["regenerate"],
        "tool": ["SoundSampleTool"],
    },
)
