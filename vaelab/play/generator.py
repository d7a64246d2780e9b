"""Making sounds with a trained model: random, mixed, varied, moved, one after the other."""

import inspect
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vaelab.audio import Recipe, Sound
from vaelab.models import pretrained
from vaelab.play import checks, latent, provenance, rendering
from vaelab.play import detail as details_of
from vaelab.play import prior as priors
from vaelab.play.checks import ToolError
from vaelab.play.embedder import Embedder

# Files, offsets and length are recorded as sources and points; the others change no samples.
NOT_RECORDED = ("self", "out_file", "audio_files", "offsets", "seconds", "bits", "overwrite")
WALK = 0.3  # step of the walk that makes a generated sound longer than a clip, one step a clip


class Generator(Embedder):
    """A trained model that makes sounds."""

    @checks.suggest_keywords
    def generate(
        self,
        out_file: str | os.PathLike | None = None,
        audio_files: Sequence[str | os.PathLike] | None = None,
        weights: Sequence[float] | None = None,
        *,
        normalize_weights: bool = True,
        variance: float = 0.0,
        spread: float = 0.0,
        temperature: float = 1.0,
        prior: str | None = None,
        label: str | None = None,
        offsets: Sequence[float | None] | None = None,
        phase: bool = True,
        detail: float | None = None,
        channels: str = "mono",
        count: int = 1,
        seed: int | None = None,
        directions: Mapping[str, float] | None = None,
        refine: int = 0,
        seconds: float | None = None,
        bits: int = 16,
        overwrite: bool = False,
    ) -> Sound | list[Sound]:
        """Make new sounds: from random points of latent space, or from a weighted mix of files.

        Args:
            out_file: Where to write (.wav, .flac, .aiff); several are numbered NAME_1, NAME_2, ...
            audio_files: Sounds to mix; None makes random sounds.
            weights: One number a file, negative ones allowed; None is the mean.
            normalize_weights: Divide by the signed sum; False is plain vector arithmetic.
            variance: Of Gaussian noise added to the embedding. (SampleVAE took its value as a standard
                deviation: its 0.5 is 0.25 here.)
            spread: Scale of draws from each file's own posterior, through the flow; 1 is the posterior.
            temperature: Scale of random points; below 1 they are more usual, above 1 stranger.
            prior: Of random points: "sounds", each about one training sound, in the ways in which its relatives
                differ (`play.prior`); or "normal", N(0, I), newer and less like real ones. None is "sounds" where
                the model remembers its training, else "normal".
            label: Class of random sounds, one of `class_names`: about training sounds of this class. None is any.
            offsets: Start of the clip in each file, seconds; None is its first sound. The recipe says which second.
            phase: Take the phase of the (mixed) sources instead of finding one.
            detail: 0 to 1: how much of what the decodings of the files lack is put back (`play.detail`); at 1 a single
                file comes back as it is. Random sounds borrow it from the nearest sound of the tool's library, which
                their recipe names as a source. None is 1 for mixes of one clip, else 0.
            channels: "mono"; or "source", which makes two where a source has two, of one latent: each keeps its own
                phase and its level against the mono sum, and a mono source is in the middle.
            count: How many.
            seed: Of all that is random; None takes a fresh one, prints it and keeps it in the recipe.
            directions: Amounts by name, added to the embedding, as in {"brightness": 1.0}; see `directions`.
            refine: Gradient steps on each file's embedding before it is mixed; see `refine`.
            seconds: Length of the sound, at most 300; None is one clip. A longer sound wanders about its point.
            bits: Of the written file: 16, 24, or 32 (float).
            overwrite: Also replace a file that vaelab did not write, or that is one of the sources.

        Returns:
            A Sound; for count > 1 a list.

        Raises:
            TypeError: An unknown keyword.
            AudioError: A source cannot be read, or the file cannot be written.
            TakenError: The file to write is there and is not vaelab's, or is a source: it stays as it is.
            LatentError: The weights, the variance, the spread or the temperature do not fit.
            DirectionError: A direction that is not known.
            ToolError: The count, the seed, the gradient steps, the offsets, the length, the prior, the label, the
                detail or the channels do not fit.
        """
        checks.check_whole("count", count, 1)
        checks.check_whole("refine", refine, 0)
        checks.check_whole("seed", seed or 0, -(1 << 63))
        checks.check_some(audio_files)
        if not audio_files and weights is not None:
            raise latent.LatentError("weights: expected none without audio_files")
        for name, value in {"spread": spread, "temperature": temperature}.items():
            if not (value >= 0 and np.isfinite(value)):
                raise latent.LatentError(f"{name}: expected a number of at least 0, found {value}")
        paths = checks.outputs(out_file, count)
        checks.check_output(paths, bits, seconds, self.model.audio, audio_files, overwrite)
        offsets = checks.offsets_of(audio_files or (), offsets)
        prior = priors.checked(prior, bool(audio_files), self.reference, self.path)
        priors.check_label(label, prior, self.reference, self.model.config.classes, self.path)
        detail = checks.detail_of(detail, bool(audio_files), seconds, self._lends())
        checks.check_channels(channels, phase and bool(audio_files or detail), seconds)
        if seed is None:
            seed = secrets.randbits(31)
            if not audio_files or variance > 0 or spread > 0 or seconds is not None:
                print(f"seed {seed}")
        weights = latent.numbers(weights)
        directions = {name: float(amount) for name, amount in (directions or {}).items()}
        settings = {"call": "generate", **_recorded(locals()), "seed": int(seed)}  # as the signature lists them
        settings["headroom"] = not audio_files
        key, walk_key = jax.random.split(jax.random.key(seed))
        level, details = None, None
        if audio_files:
            offsets, clips = rendering.read_clips(audio_files, offsets, self.model.audio)
            shares = latent.normalized(len(clips), weights, normalize_weights)
            measured = self.sources.measure(clips, refine)
            chance = {"count": count, "variance": variance, "spread": spread, "refine": refine}
            z = rendering.mix(self.model, measured.features, measured.embeddings, shares, key, **chance)
            level = rendering.mean_level(measured.levels_db, shares)
            if seconds is None and (phase or detail):
                stereo = rendering.read_stereo(audio_files, offsets, self.model.audio, channels)
                parts = clips, shares, measured.residuals
                details = details_of.of_sources(*parts, detail, self.model.audio, phase, stereo)
        elif prior == "sounds":
            z = priors.around(
                priors.remembered(self.reference, self.model.config.classes, label), key, count, temperature
            )
        else:
            z = priors.normal(self.model.config.latent_dim, key, count, temperature)
        if directions:
            z = z + self.known.shift(directions)
        recipe = self._recipe(settings, audio_files or (), offsets)
        sounds = []
        for index, point in enumerate(z.astype(np.float32)):
            if seconds is None:
                own = {"index": index}
                if detail and not audio_files:
                    details, own["sources"] = self._borrowed(point, detail, phase, channels)
                sounds.append(rendering.sound(self.model, {**recipe, **own}, point, level, details))
            else:
                steps = 1 + int(np.ceil(seconds / self.model.audio.clip_seconds))
                points = latent.walk(jax.random.fold_in(walk_key, index), point, steps, WALK)
                sounds.append(rendering.long_sound(self.model, {**recipe, "index": index}, points, seconds))
        _save(sounds, paths, bits, overwrite)
        return sounds if count > 1 else sounds[0]

    def interpolate(
        self,
        audio_files: Sequence[str | os.PathLike] | None = None,
        *,
        steps: int = 8,
        out_file: str | os.PathLike | None = None,
        seconds: float | None = None,
        points: np.ndarray | None = None,
        offsets: Sequence[float | None] | None = None,
        straight: bool = False,
        detail: float | None = None,
        channels: str = "mono",
        bits: int = 16,
        overwrite: bool = False,
    ) -> list[Sound] | Sound:
        """Go from sound to sound in equal steps: one sound a step, or one long sound that changes on the way.

        Args:
            audio_files: Sounds to pass through, in turn.
            steps: How many, ends included.
            out_file: Where to write; the steps are numbered NAME_1, NAME_2, ...
            seconds: Length of one long sound, at most 300; None makes `steps` sounds of one clip.
            points: Latents (n, latent) to pass through instead of files, such as `latent.walk` gives.
            offsets: As in `generate`.
            straight: Straight lines instead of great arcs (slerp).
            detail: 0 to 1, as in `generate`: at 1 the way begins and ends with the files as they are. None is 1 for
                steps between files, else 0.
            channels: "mono" or "source", as in `generate`; of steps with detail.
            bits: Of the written files.
            overwrite: As in `generate`.

        Returns:
            A list of `steps` sounds, or one Sound if `seconds` is given.

        Raises:
            AudioError: A source cannot be read, or a file cannot be written.
            TakenError: As in `generate`.
            LatentError: Fewer than two sounds or steps.
            ToolError: Files and points, or neither; offsets, a length, a detail or channels that do not fit.
        """
        if (audio_files is None) == (points is None):
            raise ToolError("interpolate: expected either audio_files or points")
        offsets = checks.offsets_of(() if audio_files is None else audio_files, offsets)
        paths = checks.outputs(out_file, steps if seconds is None else 1)
        checks.check_output(paths, bits, seconds, self.model.audio, audio_files, overwrite)
        amount = checks.detail_of(detail, audio_files is not None, seconds)
        checks.check_channels(channels, amount > 0, seconds)
        clips = None
        if audio_files is not None:
            offsets, clips = rendering.read_clips(audio_files, offsets, self.model.audio)
            measured = self.sources.measure(clips)
            points = measured.embeddings
            stereo = rendering.read_stereo(audio_files, offsets, self.model.audio, channels)
        way = latent.path(self.checked_latents(points), steps, straight=straight)
        settings = {"call": "interpolate", "steps": steps, "straight": bool(straight), "phase": False}
        settings["headroom"] = audio_files is None
        recipe = self._recipe(settings, audio_files or (), offsets)
        if seconds is not None:
            sound = rendering.long_sound(self.model, recipe, way, seconds)
            _save([sound], paths, bits, overwrite)
            return sound
        sounds = []
        for index, (point, weights) in enumerate(zip(way, latent.weights_along(len(points), steps), strict=True)):
            level, details, own = None, None, {"index": index}
            if clips is not None:
                shares = latent.normalized(len(clips), weights)
                level = rendering.mean_level(measured.levels_db, shares)
            if amount:
                parts = clips, shares, measured.residuals
                details = details_of.of_sources(*parts, amount, self.model.audio, stereo=stereo)
                own |= {"phase": True, "detail": amount, "channels": channels}
                own |= {"weights": weights, "normalize_weights": True}
            sounds.append(rendering.sound(self.model, {**recipe, **own}, point, level, details))
        _save(sounds, paths, bits, overwrite)
        return sounds

    def decode(self, z: np.ndarray, detail: float = 0.0) -> list[Sound]:
        """Sounds that points of latent space (n, latent) stand for; each peaks at -1 dBFS.

        Args:
            z: The points.
            detail: Of the nearest sound of the tool's library, as for random sounds of `generate`.

        Raises:
            ToolError: A detail that does not fit, or no library to borrow it from.
        """
        detail = checks.detail_of(detail, False, None, self._lends())
        settings = {"call": "decode", "weights": None, "normalize_weights": True, "phase": detail > 0, "detail": detail}
        settings["headroom"] = True
        recipe = self._recipe(settings, (), ())
        sounds = []
        for point in self.checked_latents(z):
            details, own = None, {}
            if detail:
                details, own["sources"] = self._borrowed(point, detail)
            sounds.append(rendering.sound(self.model, {**recipe, **own}, point, None, details))
        return sounds

    def _lends(self) -> bool:
        """Return True if there are sounds whose detail others may borrow."""
        return False

    def _lender(self, z: np.ndarray) -> tuple[Path, float]:
        """The sound that lends its detail to a point (latent,): its file, and where it starts, seconds."""
        raise NotImplementedError  # without a library `_lends` is false

    def _borrowed(
        self, z: np.ndarray, amount: float, phase: bool = True, channels: str = "mono"
    ) -> tuple[details_of.Detail, list[dict[str, Any]]]:
        """Detail for a point (latent,), and the source that lends it."""
        path, start = self._lender(z)
        clips = self._read([path], [start])
        residuals = self.sources.measure(clips).residuals
        stereo, share = rendering.read_stereo([path], [start], self.model.audio, channels), np.ones(1, np.float32)
        details = details_of.of_sources(clips, share, residuals, amount, self.model.audio, phase, stereo)
        return details, [provenance.source(path, start, self.model.audio.clip_seconds)]

    def _recipe(self, settings: dict[str, Any], audio_files, offsets) -> Recipe:
        """Recipe of a generated sound, with full paths; those in a file are relative to it."""
        clip = self.model.audio.clip_seconds
        sources = [provenance.source(path, start, clip) for path, start in zip(audio_files, offsets, strict=True)]
        name, place = pretrained.name_of(self.path), str(self.path.resolve())
        model = {"name": name, "path": place, "sha256": self.meta["sha256"]}
        learned = {"trained_on": self.meta["trained_on"]} if self.meta.get("trained_on") else {}
        return Recipe({**provenance.stamp(), **settings, "sources": sources, "model": model, **learned})


def _recorded(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `generate` that its recipe keeps under their own names, each of its default's type."""
    defaults = {name: parameter.default for name, parameter in inspect.signature(Generator.generate).parameters.items()}
    return {
        name: arguments[name] if default is None else type(default)(arguments[name])
        for name, default in defaults.items()
        if name not in NOT_RECORDED
    }


def _save(sounds: Sequence[Sound], paths: Sequence[Path], bits: int, overwrite: bool) -> None:
    """Write each sound to its path, if there are paths; see `checks.outputs`."""
    for sound, path in zip(sounds, paths, strict=False):
        sound.save(path, bits=bits, overwrite=overwrite)
