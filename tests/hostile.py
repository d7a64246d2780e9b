"""A library whose files have hostile names, for tests of what shows them."""

import shutil

import jax

from vaelab import model
from vaelab.models import checkpoint
from vaelab.play import SoundSampleTool

HOSTILE = ["<img src=x onerror=alert(1)> $x$", "two\nlines", b"not utf-8 \xff".decode(errors="surrogateescape")]


def tool_in(folder, tiny, sounds):
    """A tool with an untrained tiny model, and a library of built-in kicks and claps and a tom under hostile names."""
    checkpoint.save_model(folder / "tiny.safetensors", model.create(tiny.model, tiny.audio, jax.random.key(0)), {})
    for kind in ("kick", "clap"):
        shutil.copytree(sounds / kind, folder / "own" / kind)
    for name in HOSTILE:
        shutil.copy(sounds / "tom" / "tom_0001.wav", folder / "own" / f"{name}.wav")
    return SoundSampleTool(folder / "tiny.safetensors", library_dir=folder / "own", home=folder, progress=False)
