"""Latency of a mix of two files, from the call to its samples, part by part: `python -m experiments.speed.latency`."""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common import measures, timing
from experiments.speed.options import parsed
from vaelab import SoundSampleTool
from vaelab import model as models
from vaelab.audio import synth
from vaelab.config import AudioConfig, ModelConfig
from vaelab.models import checkpoint
from vaelab.play import detail, latent, provenance, rendering
from vaelab.play.sources import Sources

COMMAND = "python -m experiments.speed.latency"
SAMPLEVAE_MS = 670.0  # the same call in SampleVAE, 16 kHz, on two cores
TARGET_MS = 60.0
CALLS = 30  # of each measurement


def generate(options: argparse.Namespace) -> None:
    """Measure, print and keep; weights are fresh, since their values cost no time."""
    calls = 1 if options.tiny else CALLS
    with tempfile.TemporaryDirectory() as scratch:
        model = models.create(ModelConfig(), AudioConfig(), jax.random.key(0))
        checkpoint.save_model(Path(scratch) / "model.safetensors", model, {})
        tool = SoundSampleTool(Path(scratch) / "model.safetensors")
        pair = (not options.tiny and options.data_dir) or [
            synth.write_dataset(scratch, per_class=1, kinds=[kind], progress=False) / kind / f"{kind}_0001.wav"
            for kind in ("kick", "snare")
        ]
        settings = {"audio_files": pair[:2], "weights": [1, 2], "seed": 0}
        rows = [["the whole call, with the sources' detail", milliseconds(lambda: tool.generate(**settings), calls)]]
        rows += [[f"  {name}", milliseconds(part, calls)] for name, part in parts(tool, pair[:2]).items()]
        rows += [[f"new: {name}", milliseconds(part, calls)] for name, part in measuring(tool, pair[:2]).items()]
        without = milliseconds(lambda: tool.generate(**settings, phase=False), calls)
        rows += [["the whole call, phase found by 16 rounds", without]]
        smooth = milliseconds(lambda: tool.generate(**settings, detail=0.0), calls)
        rows += [["the whole call, detail 0", smooth]]
        rows += [["a random sound", milliseconds(lambda: tool.generate(seed=0), calls)]]
    whole = rows[0][1]
    note = (
        f"mix of two built-in sounds, 44.1 kHz, 2 s, after a first call with the same sources; median of {calls} calls "
        f"({timing.machine()}). Target: {TARGET_MS:g} ms; SampleVAE's {SAMPLEVAE_MS:g} ms is "
        f"{SAMPLEVAE_MS / whole:.1f} times as long (target: 11)."
    )
    name = None if options.tiny else "latency"
    measures.report(name, COMMAND, ["what", "ms"], rows, note)


def parts(tool: SoundSampleTool, pair: list[Path]) -> dict[str, Callable]:
    """The stages of `generate`, each as a function to be timed."""
    model, config = tool.model, tool.model.audio
    _, clips = rendering.read_clips(pair, [0.0, 0.0], config)
    weights = latent.normalized(2, [1, 2])
    measured = tool.sources.measure(clips)
    z = rendering.mix(model, measured.features, measured.embeddings, weights, jax.random.key(0))
    details = detail.of_sources(clips, weights, measured.residuals, detail.DEFAULT, config)
    decoded = np.asarray(model.decode(jnp.asarray(z)))
    samples = np.asarray(detail.samples(decoded, details, config))[0]
    level = rendering.mean_level(measured.levels_db, weights)
    return {
        "read, mix down, resample": lambda: rendering.read_clips(pair, [0.0, 0.0], config),
        "sources measured before": lambda: tool.sources.measure(clips),
        "align, add, mix the residuals": lambda: detail.of_sources(
            clips, weights, measured.residuals, detail.DEFAULT, config
        ),
        "decode": lambda: model.decode(jnp.asarray(z)),
        "features and detail to samples": lambda: detail.samples(decoded, details, config),
        "fades, level, true peak": lambda: rendering.finished(samples, level, config),
        "hash the sources": lambda: [provenance.source(path, 0.0, config.clip_seconds) for path in pair],
    }


def measuring(tool: SoundSampleTool, pair: list[Path]) -> dict[str, Callable]:
    """The stages of measuring sources that were not met before."""
    model, config = tool.model, tool.model.audio
    _, clips = rendering.read_clips(pair, [0.0, 0.0], config)
    features, _ = rendering.stored_features(clips, config)
    return {
        "two sources, one after the other": lambda: Sources(model).measure(clips),
        "mel features of one sound": lambda: rendering.stored_features(clips[:1], config),
        "encode one sound": lambda: model.encode(features[:1]),
        "encode two sounds at once": lambda: model.encode(features),
    }


def milliseconds(work: Callable, calls: int) -> float:
    """Median duration of some warm calls."""
    timing.seconds(work)
    return timing.median_ms([work] * calls)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and keep."""
    with parsed(COMMAND, __doc__, arguments) as options:
        generate(options)


if __name__ == "__main__":
    main()
