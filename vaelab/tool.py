"""What a user of a trained model calls: generate, embed, decode, classify, find similar sounds."""

import difflib
import inspect
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vaelab import audio, checkpoint, files, latent, library, spectral
from vaelab.audio import Sound
from vaelab.config import AudioConfig

BATCH = 32
PEAK = 10 ** (-1 / 20)  # -1 dBFS
SHIPPED = Path(__file__).parent / "pretrained"


class ToolError(Exception):
    """Something asked of a model that it cannot do; the message says what would help."""


class SoundSampleTool:
    """A trained model and, if wanted, a library of sounds to search.

    Attributes:
        model: The model; `model.audio` and `model.config` are its settings.
        library: The sounds of `library_dir`, or None.
    """

    def __init__(
        self,
        model: str | os.PathLike,
        library_dir: str | os.PathLike | None = None,
        library_segmentation: bool = False,
    ):
        """Load a model, and embed a library.

        Args:
            model: A logdir, a model file, or the name of a shipped model; an existing path wins.
            library_dir: Folder of sounds for `find_similar`.
            library_segmentation: Take the segments within longer files as sounds of their own.

        Raises:
            CheckpointError: No such model, or a damaged one.
            LibraryError: The library has no readable sound.
        """
        self.path = find_model(model)
        self.model, self._meta = checkpoint.load_model(self.path)
        if library_segmentation:
            raise ToolError("library_segmentation: slicing is not part of this version; use False")
        self.library = None if library_dir is None else library.build(library_dir, self._embed_readable)

    def __repr__(self) -> str:
        sounds = "no library" if self.library is None else f"{len(self.library.files)} sounds"
        audio_config = self.model.audio
        return (
            f"SoundSampleTool({str(self.path)!r}: {self.model.config.latent_dim} latents, "
            f"{audio_config.sample_rate} Hz, {audio_config.clip_seconds:g} s, {sounds})"
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the first label set's classes, in the order of `predict`; empty without a classifier."""
        return self.model.config.labels[0][1] if self.model.config.labels else ()

    def generate(
        self,
        out_file: str | os.PathLike | None = None,
        audio_files: Sequence[str | os.PathLike] | None = None,
        weights: Sequence[float] | None = None,
        normalize_weights: bool = True,
        variance: float = 0.0,
        spread: float = 0.0,
        temperature: float = 1.0,
        offsets: Sequence[float] | None = None,
        phase: bool = True,
        count: int = 1,
        seed: int | None = None,
        **misspelt: Any,
    ) -> Sound | list[Sound]:
        """Make new sounds: from random points of latent space, or from a weighted mix of files.

        Args:
            out_file: Where to write (.wav, .flac, .aiff); several are numbered NAME_1, NAME_2, ...
            audio_files: Sounds to mix; None draws random points from the prior.
            weights: One number a file, negative ones allowed; None is the mean.
            normalize_weights: Divide by the signed sum; False is plain vector arithmetic.
            variance: Of Gaussian noise added to the embedding. (SampleVAE took its value as a standard
                deviation: its 0.5 is 0.25 here.)
            spread: Scale of draws from each file's own posterior, through the flow; 1 is the posterior.
            temperature: Scale of random points; below 1 they are more usual, above 1 stranger.
            offsets: Start of the clip in each file, seconds.
            phase: Take the phase of the (mixed) sources instead of searching one.
            count: How many.
            seed: Of all that is random; None takes a fresh one, prints it and keeps it in the recipe.
            **misspelt: Any other keyword is refused with a suggestion.

        Returns:
            A Sound; for count > 1 a list.

        Raises:
            TypeError: An unknown keyword.
            AudioError: A source cannot be read, or the file cannot be written.
            LatentError: The weights or the variance do not fit.
            ToolError: The count or the offsets do not fit.
        """
        _refuse(misspelt, self.generate)
        if count < 1:
            raise ToolError(f"count: expected at least 1, found {count}")
        if not audio_files and weights is not None:
            raise latent.LatentError("weights: expected none without audio_files")
        is_random = not audio_files or variance > 0 or spread > 0
        if seed is None:
            seed = secrets.randbits(31)
            if is_random:
                print(f"seed {seed}")
        settings = {
            "weights": None if weights is None else [float(weight) for weight in weights],
            "normalize_weights": normalize_weights,
            "variance": variance,
            "spread": spread,
            "temperature": temperature,
            "offsets": None if offsets is None else [float(offset) for offset in offsets],
            "phase": phase,
            "count": count,
            "seed": seed,
        }
        key = jax.random.key(seed)
        if audio_files:
            sources = self._read(audio_files, offsets)
            z, levels, phases = self._mix(sources, weights, normalize_weights, variance, spread, count, key, phase)
        else:
            z = temperature * np.asarray(jax.random.normal(key, (count, self.model.config.latent_dim)))
            levels, phases = None, None
        samples = self._render(z, levels, phases)
        recipe = self._recipe(settings, audio_files or (), offsets, out_file)
        sounds = [
            Sound(one, self.model.audio.sample_rate, {**recipe, "index": index, "latent": z[index].tolist()})
            for index, one in enumerate(samples)
        ]
        if out_file is not None:
            for sound, path in zip(sounds, _numbered(Path(out_file), count), strict=True):
                sound.save(path)
        return sounds if count > 1 else sounds[0]

    def embed(self, audio_files: Sequence[str | os.PathLike]) -> np.ndarray:
        """Deterministic embeddings of files: float32 (n, latent).

        Raises:
            AudioError: A file cannot be read.
        """
        features, _ = self._features(self._read(audio_files, None))
        return _in_batches(self.model.encode, features)

    def decode(self, z: np.ndarray) -> list[Sound]:
        """Sounds that points of latent space (n, latent) stand for; each peaks at -1 dBFS."""
        z = np.atleast_2d(np.asarray(z, np.float32))
        if z.shape[1] != self.model.config.latent_dim:
            raise ValueError(f"z: expected shape (n, {self.model.config.latent_dim}), found {z.shape}")
        return [
            Sound(samples, self.model.audio.sample_rate, {"latent": point.tolist(), "model": self._model_name()})
            for samples, point in zip(self._render(z, None, None), z, strict=True)
        ]

    def reconstruct(self, features: np.ndarray) -> np.ndarray:
        """What the model makes of features: (n, frames, mels) in [0, 1] -> the same, at eps = 0."""
        return _in_batches(self.model.decode, _in_batches(self.model.encode, features))

    def predict(
        self, target: str | os.PathLike, offset: float = 0.0, labels: str | None = None
    ) -> tuple[np.ndarray, str]:
        """Classify a sound.

        Args:
            target: A sound file.
            offset: Start of the clip, seconds.
            labels: Name of the label set; None is the first.

        Returns:
            Probabilities in the order of `class_names`, and the name of the most probable class.

        Raises:
            ToolError: The model has no classifier, or none of this name.
            AudioError: The file cannot be read.
        """
        sets = dict(self.model.config.labels)
        if not sets:
            raise ToolError(
                f"{self.path}: this model has no classifier; train one on a dataset made with "
                "`vaelab make-dataset --classes`"
            )
        labels = labels or next(iter(sets))
        if labels not in sets:
            raise ToolError(f"labels: expected one of {', '.join(sets)}, found {labels!r}")
        features, _ = self._features(self._read([target], [offset]))
        probabilities = np.asarray(self.model.classify(features)[list(sets).index(labels)][0])
        return probabilities, sets[labels][int(probabilities.argmax())]

    def find_similar(
        self, target: str | os.PathLike, num_similar: int = 10
    ) -> tuple[list[Path], np.ndarray, np.ndarray]:
        """The library's sounds nearest to a file: paths, onsets in seconds, distances; best first.

        Raises:
            ToolError: The tool has no library.
            AudioError: The file cannot be read.
        """
        if self.library is None:
            raise ToolError("find_similar: expected a library; open the tool with library_dir=FOLDER")
        return self.library.similar(self.embed([target])[0], num_similar)

    def _read(self, audio_files: Sequence[str | os.PathLike], offsets: Sequence[float] | None) -> np.ndarray:
        """Clips of files: (n, samples)."""
        if isinstance(audio_files, str | os.PathLike):
            raise TypeError(f"audio_files: expected a list of files, found one: [{str(audio_files)!r}]")
        offsets = [0.0] * len(audio_files) if offsets is None else offsets
        if len(offsets) != len(audio_files):
            raise ToolError(f"offsets: expected {len(audio_files)} numbers, found {len(offsets)}")
        config = self.model.audio
        return np.stack(
            [
                spectral.fit_length(audio.read(path, config.sample_rate, offset, config.clip_seconds), config)
                for path, offset in zip(audio_files, offsets, strict=True)
            ]
        )

    def _features(self, clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features rounded as the store keeps them, so that a file has one embedding; and levels in dB."""
        parts = [spectral.mel(part, self.model.audio) for part in _padded(clips)]
        features = np.concatenate([spectral.dequantise(spectral.quantise(part)) for part, _ in parts])
        levels = np.concatenate([level for _, level in parts])
        return features[: len(clips)], levels[: len(clips)]

    def _mix(self, clips, weights, normalize_weights, variance, spread, count, key, phase):
        """Latents (count, latent), levels (count,) and phases (count, frames, bins) or None of a mix."""
        weights = latent.normalized(len(clips), weights, normalize_weights)
        features, levels = self._features(clips)
        noise_key, spread_key = jax.random.split(key)
        shape = (count, len(clips), self.model.config.latent_dim)
        eps = spread * np.asarray(jax.random.normal(spread_key, shape))
        embeddings = np.stack([_in_batches(self.model.encode, features, draw) for draw in eps])
        z = np.einsum("s,csl->cl", weights, embeddings)
        z = z + np.asarray(latent.noise(noise_key, z.shape, variance))
        shares = np.abs(weights) / np.abs(weights).sum() if weights.any() else np.full(len(clips), 1 / len(clips))
        phases = None
        if phase:
            spectrum = spectral.stft(jnp.asarray(weights @ clips)[None], self.model.audio)
            phases = np.repeat(np.angle(spectrum), count, axis=0)
        return z, np.repeat(shares @ levels, count), phases

    def _render(self, z: np.ndarray, levels: np.ndarray | None, phases: np.ndarray | None) -> np.ndarray:
        """Latents to samples (n, samples), at given levels (lowered where they would clip) or at -1 dBFS."""
        config = self.model.audio
        features = _in_batches(self.model.decode, z.astype(np.float32))
        samples = np.array(spectral.invert(features, config, phases)) * _fade_out(config)
        gains = PEAK / np.maximum(np.abs(samples).max(axis=1), 1e-9)
        if levels is not None:
            # Decoded features seldom reach 1, so the level is measured and not taken from them.
            _, measured = spectral.mel(samples, config)
            gains = np.minimum(gains, 10 ** ((levels - np.asarray(measured)) / 20))
        return samples * gains[:, None].astype(np.float32)

    def _embed_readable(self, paths: Sequence[Path]) -> tuple[np.ndarray, dict[Path, str]]:
        """Embeddings of the files that can be read, and the reason for each other one."""
        embeddings, failed = [np.zeros((0, self.model.config.latent_dim), np.float32)], {}
        for start in range(0, len(paths), BATCH):
            clips = []
            for path in paths[start : start + BATCH]:
                try:
                    clips.append(self._read([path], None)[0])
                except audio.AudioError as error:
                    failed[path] = error.reason
            if clips:
                embeddings.append(_in_batches(self.model.encode, self._features(np.stack(clips))[0]))
        return np.concatenate(embeddings), failed

    def _recipe(self, settings, audio_files, offsets, out_file) -> dict[str, Any]:
        """What a generated sound remembers; paths are relative to where it is written."""
        start = Path.cwd() if out_file is None else Path(out_file).resolve().parent
        offsets = offsets or [0.0] * len(audio_files)
        sources = [
            {
                "path": os.path.relpath(Path(path).resolve(), start),
                "sha256": files.content_hash(path),
                "start": float(offset),
                "seconds": self.model.audio.clip_seconds,
            }
            for path, offset in zip(audio_files, offsets, strict=True)
        ]
        versions = checkpoint.versions()
        return {**settings, "sources": sources, "model": self._model_name(), "versions": versions}

    def _model_name(self) -> dict[str, str]:
        return {"path": str(self.path), "sha256": self._meta["sha256"]}


def find_model(model: str | os.PathLike) -> Path:
    """The file of a model given as a file, a logdir, or the name of a shipped model.

    Raises:
        CheckpointError: None of these exists.
    """
    path = Path(model)
    places = [path, path / "best.safetensors", SHIPPED / f"{path.name.removeprefix('model_')}.safetensors"]
    for place in places:
        if place.is_file():
            return place
    shipped = sorted(place.stem for place in SHIPPED.glob("*.safetensors"))
    raise checkpoint.CheckpointError(
        f"no model {str(model)!r}: looked for the file {path}, for {places[1]}, and among the shipped models "
        f"({', '.join(shipped) or 'none'}); train one with `vaelab train --logdir {path}`"
    )


def _fade_out(config: AudioConfig) -> np.ndarray:
    """One (samples,), falling to zero over the last half window, which the dropped last frame leaves unsure."""
    window = np.ones(config.samples, np.float32)
    half = config.n_fft // 2
    window[-half:] = 0.5 + 0.5 * np.cos(np.pi * np.arange(1, half + 1) / half)
    return window


def _refuse(misspelt: dict[str, Any], function: Callable) -> None:
    """Raise a TypeError that suggests the keyword that was meant."""
    valid = [name for name in inspect.signature(function).parameters if name != "misspelt"]
    for name in misspelt:
        close = difflib.get_close_matches(name, valid, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"valid keywords: {', '.join(valid)}"
        raise TypeError(f"{function.__name__}() got an unexpected keyword argument {name!r}; {hint}")


def _numbered(path: Path, count: int) -> list[Path]:
    if count == 1:
        return [path]
    return [path.with_name(f"{path.stem}_{number}{path.suffix}") for number in range(1, count + 1)]


def _padded(array: np.ndarray) -> list[np.ndarray]:
    """Batches of 32, the last padded with its own first row to a power of two: few shapes to compile."""
    parts = [array[start : start + BATCH] for start in range(0, len(array), BATCH)]
    size = 1 << (len(parts[-1]) - 1).bit_length()
    filler = np.repeat(parts[-1][:1], size - len(parts[-1]), axis=0)
    return [*parts[:-1], np.concatenate([parts[-1], filler])]


def _in_batches(function: Callable, *arrays: np.ndarray) -> np.ndarray:
    """Apply a function of batches to arrays of any length (at least 1)."""
    parts = [function(*batch) for batch in zip(*map(_padded, arrays), strict=True)]
    return np.concatenate([np.asarray(part) for part in parts])[: len(arrays[0])]
