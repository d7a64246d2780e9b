"""Sounds to points of latent space: embedding, refining, and the named directions that sounds show there."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vaelab import audio, spectral
from vaelab.audio import Sound, descriptors
from vaelab.models import checkpoint, devices, familiarity, pretrained
from vaelab.play import checks, directions, latent, rendering
from vaelab.play.directions import Directions
from vaelab.play.rendering import BATCH, in_batches
from vaelab.play.sources import Sources


class Refined(NamedTuple):
    """An embedding after gradient steps: z (latent,), and the mean error of its decoding before and after, dB."""

    z: np.ndarray
    before_db: float
    after_db: float


class Embedder:
    """A trained model that embeds sounds.

    Attributes:
        path: The model's file.
        model: The model; `model.audio` and `model.config` are its settings.
        meta: What else its file says: its "sha256", and "trained_on", the tapes that it learned from.
        reference: What the model remembers of its training; None if that did not end.
        known: Named directions that `generate(directions=...)` may use; `directions` fills it.
        sources: Measures the sources of mixes.
    """

    def __init__(self, model: str | os.PathLike):
        """Load a model, as `SoundSampleTool` does."""
        devices.check_precision()
        self.path = pretrained.find(model)
        self.model, self.meta = checkpoint.load_model(self.path)
        self.reference = familiarity.load_reference(self.model, self.meta["reference"], self.path)
        self.known = Directions()
        self.sources = Sources(self.model)

    def embed(self, audio_files: Sequence[str | os.PathLike | Sound]) -> np.ndarray:
        """Deterministic embeddings of files, or of `Sound`s: float32 (n, latent).

        Raises:
            AudioError: A file cannot be read.
            ToolError: Something else than files and sounds.
        """
        offsets = checks.offsets_of(audio_files, None, sounds=True)
        clips = [self._clips(target, offset) for target, offset in zip(audio_files, offsets, strict=True)]
        return self._encode(np.concatenate(clips))

    def refine(self, target: str | os.PathLike, *, steps: int = 100, offset: float | None = None) -> Refined:
        """Embed a sound more exactly than the encoder does, by gradient steps on its embedding.

        Args:
            target: A sound file.
            steps: How many; 0 is the encoder's embedding.
            offset: Start of the clip, seconds; None as in `generate`.

        Raises:
            AudioError: The file cannot be read.
            ToolError: Steps that are no whole number of at least 0.
        """
        checks.check_whole("steps", steps, 0)
        clips = self._read([target], checks.offsets_of([target], [offset]))
        features, _ = rendering.stored_features(clips, self.model.audio)
        z, before, after = latent.refine(self.model, features, self.model.encode(features), steps)
        top_db = self.model.audio.top_db
        return Refined(np.asarray(z[0]), float(before[0]) * top_db, float(after[0]) * top_db)

    def directions(
        self,
        audio_files: Sequence[str | os.PathLike],
        labels: Sequence[str | None] | None = None,
        expressions: Sequence[str] = (),
    ) -> Directions:
        """Find named directions on sounds, for `generate(directions=...)`.

        Brightness, attack, noisiness, pitch and decay are measured on each sound and fitted; amount 1 raises one by a
        standard deviation. With labels, each label is a direction from the mean of all, and expressions such as
        "clap - snare" lead from one class to another.

        Args:
            audio_files: At least 20 sounds, better hundreds.
            labels: One name a file, None where unknown.
            expressions: Labels joined by " + " and " - ".

        Returns:
            All directions known now, each with its held-out R2; also kept as `known`.

        Raises:
            AudioError: A file cannot be read.
            DirectionError: Too few sounds, labels that do not fit, or sounds that do not differ.
        """
        offsets = checks.offsets_of(audio_files, None)
        directions.check(len(audio_files), labels, expressions)
        embeddings, measured = [], []
        for start in range(0, len(audio_files), BATCH):
            clips = self._read(audio_files[start : start + BATCH], offsets[start : start + BATCH])
            embeddings.append(self._encode(clips))
            measured += [descriptors.measure(clip, self.model.audio.sample_rate) for clip in clips]
        self.known.update(directions.find(np.concatenate(embeddings), measured, descriptors.UNITS, labels, expressions))
        return self.known

    def reconstruct(self, features: np.ndarray) -> np.ndarray:
        """Reconstruct features at eps = 0: (n, frames, mels) in [0, 1] -> the same shape."""
        return in_batches(self.model.decode, in_batches(self.model.encode, features))

    def _read(self, audio_files: Sequence[str | os.PathLike], offsets: Sequence[float | None]) -> np.ndarray:
        """Clips of files: (n, samples)."""
        return rendering.read_clips(audio_files, offsets, self.model.audio)[1]

    def _clips(self, target: str | os.PathLike | Sound, offset: float | None) -> np.ndarray:
        """The clip of a file or a sound: (1, samples)."""
        (offset,) = checks.offsets_of([target], [offset], sounds=True)
        if not isinstance(target, Sound):
            return self._read([target], [offset])
        config = self.model.audio
        samples = audio.resampled(target.mono, target.sample_rate, config.sample_rate)
        if offset is None:
            offset = audio.silence.clip_start([samples], config.sample_rate)
        return spectral.fit_length(samples[round(offset * config.sample_rate) :], config)[None]

    def _encode(self, clips: np.ndarray) -> np.ndarray:
        """Deterministic embeddings of clips: (n, samples) -> (n, latent)."""
        return in_batches(self.model.encode, rendering.stored_features(clips, self.model.audio)[0])

    def checked_latents(self, z: np.ndarray) -> np.ndarray:
        """Latents as float32 (n, latent), one or several; a ValueError if they do not fit the model."""
        z = np.atleast_2d(np.asarray(z, np.float32))
        if z.ndim != 2 or z.shape[1] != self.model.config.latent_dim:
            raise ValueError(f"z: expected shape (n, {self.model.config.latent_dim}), found {z.shape}")
        if not np.isfinite(z).all():
            raise ValueError("z: expected finite numbers, found NaN or infinity")
        return z
