"""`SoundSampleTool`: generate, embed, decode, classify, find similar sounds, judge familiarity and novelty."""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from vaelab import audio, files, library, spectral
from vaelab.audio import Sound, timbre
from vaelab.config import SliceConfig
from vaelab.datasets import manifest
from vaelab.models import familiarity
from vaelab.models.familiarity import Familiarity, Newness, Reference
from vaelab.play import checks, latent, rendering
from vaelab.play.checks import ToolError
from vaelab.play.generator import Generator
from vaelab.play.rendering import in_batches
from vaelab.text import printable

Target = str | os.PathLike | Sound | np.ndarray | Sequence[str | os.PathLike | Sound]
READINGS = 3  # of a library whose files keep changing


class Answer(NamedTuple):
    """A file's class.

    Attributes:
        path: The file.
        name: Of the most probable class; None if the file cannot be read.
        probabilities: In the order of `class_names`, (classes,).
        known: Familiarity of the sound to the model; None if the file cannot be read or the training did not end.
        reason: Why the file cannot be read.
    """

    path: Path
    name: str | None
    probabilities: np.ndarray | None
    known: Familiarity | None
    reason: str | None = None


class SoundSampleTool(Generator):
    """A trained model and, if wanted, a library of sounds to search.

    Attributes:
        library: The sounds of `library_dir`, or None.
    """

    def __init__(
        self,
        model: str | os.PathLike,
        library_dir: str | os.PathLike | None = None,
        *,
        library_segmentation: bool = False,
        library_hop_seconds: float | None = None,
        home: str | os.PathLike = manifest.HOME,
        progress: bool = True,
    ):
        """Load a model, and open a library: what is new or changed in its folder is embedded.

        Args:
            model: A logdir, a model file, or the name of a shipped model; an existing path wins.
            library_dir: Folder of sounds for `find_similar`.
            library_segmentation: Slice longer files, and embed each segment as a sound.
            library_hop_seconds: Embed all windows of files, each as long as the model's clips, so far apart.
            home: Where datasets are; libraries are kept there too.
            progress: Show bars while a library is embedded.

        Raises:
            CheckpointError: No such model, or a damaged one.
            ToolError: Windows and segments both, or windows that are no distance apart.
            LibraryError: The library has no readable sound.
        """
        super().__init__(model)
        self._open: dict[str, Any] = {}
        self.library: library.Library | None = None
        if library_dir is not None:
            how = {"library_segmentation": library_segmentation, "library_hop_seconds": library_hop_seconds}
            self.open_library(library_dir, **how, home=home, progress=progress)

    def __repr__(self) -> str:
        sounds = "no library" if self.library is None else f"{len(self.library)} sounds"
        audio_config = self.model.audio
        return (
            f"SoundSampleTool({str(self.path)!r}: {self.model.config.latent_dim} latents, "
            f"{audio_config.sample_rate} Hz, {audio_config.clip_seconds:g} s, {sounds})"
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of `predict`; empty without a classifier."""
        return self.model.config.classes

    def open_library(
        self,
        library_dir: str | os.PathLike,
        *,
        library_segmentation: bool = False,
        library_hop_seconds: float | None = None,
        home: str | os.PathLike = manifest.HOME,
        progress: bool = True,
    ) -> library.Library:
        """Open the library of another folder; arguments and errors as for the tool itself."""
        slicer, slicer_name = self._slicer(library_segmentation, library_hop_seconds)
        self._open = {
            "folder": files.from_home(library_dir),
            "home": files.from_home(home) / library.FOLDER,
            "slicer": slicer,
            "slicer_name": slicer_name,
            "progress": progress,
        }
        return self.refresh()

    def _slicer(self, segmentation: bool, hop_seconds: float | None) -> tuple[library.Slicer | None, str | None]:
        """The slicer of a library, and its name if there are several of its kind."""
        from vaelab import slicing

        if hop_seconds is None:
            return (slicing.slice_file if segmentation else None), None
        if segmentation:
            raise ToolError("library_hop_seconds: expected library_segmentation or this, found both; choose one")
        if not hop_seconds > 0:
            raise ToolError(f"library_hop_seconds: expected seconds above 0, found {hop_seconds:g}")
        config = SliceConfig(hop_seconds=float(hop_seconds), window_seconds=self.model.audio.clip_seconds)
        name = f"windows of {config.window_seconds:g} s every {config.hop_seconds:g} s"
        return partial(slicing.slice_file, config=config), name

    def refresh(self) -> library.Library:
        """Scan the library's folder again: embed new and changed files, drop deleted ones.

        Raises:
            ToolError: The tool has no library.
            LibraryError: The folder has no readable sound any more.
        """
        if not self._open:
            raise ToolError("library: expected one; open the tool with library_dir=FOLDER")

        def embed(features: np.ndarray) -> np.ndarray:
            return in_batches(lambda part: self.model.encode(spectral.dequantise(jnp.asarray(part))), features)

        probe = None if self.reference is None or not self.reference.probe.size else self.reference.probe
        listener = library.Listener(embed, self.model.audio, self.meta["sha256"], probe)
        self.library = library.build(listener=listener, name=str(self.path.resolve()), **self._open)
        return self.library

    @checks.suggest_keywords
    def find_similar(
        self,
        target: Target,
        num_similar: int = 10,
        *,
        weights: Sequence[float] | None = None,
        offset: float | None = None,
        by: str = "timbre",
        metric: str = "euclidean",
        folder: str | os.PathLike | None = None,
        label: str | None = None,
        shortest: float = 0.0,
        longest: float = np.inf,
    ) -> tuple[list[Path], np.ndarray, np.ndarray]:
        """The library's sounds nearest to a target, best first.

        Args:
            target: A file or a `Sound`; several, which are mixed; or a point of latent space (latent,).
            num_similar: How many; fewer if there are no more.
            weights: Of several files, as in `generate`.
            offset: Start of the clip in the file, seconds; None is its first sound.
            by: "timbre" compares statistics over time (`vaelab.audio.timbre`), which sounds of a kind share;
                "embedding" compares what latents say of it (`vaelab.training.probe`), in which a mix lies between its
                sources. The timbre of a mix or a point is that of its decoded sound.
            metric: "euclidean", or "cosine", which looks at directions only.
            folder: Search below this one only.
            label: Search this class only: the name of a folder directly below the library's.
            shortest: Seconds.
            longest: Seconds.

        Returns:
            Paths, onsets in seconds, and distances.

        Raises:
            ToolError: The tool has no library.
            AudioError: The file cannot be read.
            LibraryError: No sound matches the filters, or files keep changing during the search.
        """
        if self.library is None:
            raise ToolError("find_similar: expected a library; open the tool with library_dir=FOLDER")
        if num_similar < 1:
            raise ToolError(f"num_similar: expected at least 1, found {num_similar}")
        if by not in library.SPACES:
            raise ToolError(f"by: expected one of {', '.join(library.SPACES)}, found {by!r}")
        locate = self._timbre if by == "timbre" else self._point
        for _ in range(READINGS):
            point = locate(target, weights, offset)
            within = self.library.within(folder, label, shortest, longest)
            numbers, distances = self.library.search(point, num_similar, metric, within, by)
            changed = self.library.changed(numbers)
            if not changed:
                return *self.library.named(numbers), distances
            print(f"library: {len(changed)} files have changed, such as {printable(changed[0])}; looking again")
            self.refresh()
        raise library.LibraryError(f"{self.library.root}: expected files that stay as they are, found them changing")

    def predict(self, target: str | os.PathLike | Sound, *, offset: float | None = None) -> tuple[np.ndarray, str]:
        """Classify a sound.

        Args:
            target: A sound file, or a generated sound.
            offset: Start of the clip, seconds; None as in `find_similar`.

        Returns:
            Probabilities in the order of `class_names`, and the name of the most probable class.

        Raises:
            ToolError: The model has no classifier.
            AudioError: The file cannot be read.
        """
        self._check_classifier()
        features, _ = rendering.stored_features(self._clips(target, offset), self.model.audio)
        probabilities = np.asarray(self.model.classify(features)[0])
        return probabilities, self.class_names[int(probabilities.argmax())]

    def classify(self, audio_files: Sequence[str | os.PathLike] | str | os.PathLike) -> Iterator[Answer]:
        """Classify files, or all sounds below a folder; the answer of an unreadable one holds the reason.

        Raises:
            ToolError: The model has no classifier, or a folder holds no sound.
        """
        from vaelab import data  # with all that makes datasets, which most of this class does without

        self._check_classifier()
        reasons: dict[Path, str | None] = {}
        if isinstance(audio_files, str | os.PathLike) and Path(audio_files).is_dir():
            reasons = {Path(audio_files) / path: reason for path, reason in data.candidates(Path(audio_files))}
            paths = list(reasons)
        elif isinstance(audio_files, str | os.PathLike):
            paths = [Path(audio_files)]
        else:
            paths = [Path(path) for path in audio_files]
        if not paths:
            raise ToolError(f"{audio_files}: expected a sound, or a folder with sounds, found none")
        return self._answers(paths, reasons)

    def calibration(self) -> np.ndarray:
        """Calibration of class probabilities on held-out sounds.

        Returns:
            For ten equal bins of the predicted class's probability: number of sounds, mean probability, and share
            classified correctly, (10, 3).

        Raises:
            ToolError: No classifier, or the model's training did not end.
        """
        self._check_classifier()
        return self._remembered().calibration[0]

    def how_known(self, target: str | os.PathLike | Sound, *, offset: float | None = None) -> Familiarity:
        """Familiarity of a sound to the model, relative to sounds held out of its training.

        Raises:
            ToolError: The model's training did not end.
            AudioError: The file cannot be read.
        """
        remembered = self._remembered()
        features, _ = spectral.mel(self._clips(target, offset), self.model.audio)
        return familiarity.familiarity_of(self.model, remembered, np.asarray(spectral.quantise(features)))[0]

    def how_new(self, target: Target, *, weights: Sequence[float] | None = None) -> Newness:
        """Novelty of a sound or latent: its distance to the nearest training sound, compared with held-out sounds.

        Args:
            target: As in `find_similar`. A generated sound is represented by its own latent.
            weights: Of several files.

        Raises:
            ToolError: The model's training did not end.
            AudioError: A file cannot be read.
        """
        remembered = self._remembered()
        if isinstance(target, Sound) and "latent" in (target.recipe or {}):
            target = np.asarray(target.recipe["latent"], np.float32)
        point = self._point(target, weights, None)
        return familiarity.newness(remembered, point[None])[0]

    def _point(self, target: Target, weights: Sequence[float] | None, offset: float | None) -> np.ndarray:
        """The latent of whatever can be searched for (latent,)."""
        if isinstance(target, np.ndarray) and target.dtype.kind in "fiu":
            return self.checked_latents(self._one_latent(target))[0]
        if isinstance(target, Sound):
            return self._encode(self._clips(target, offset))[0]
        if isinstance(target, str | os.PathLike):
            row = None if self.library is None else self.library.find(target, offset)
            return self._encode(self._clips(target, offset))[0] if row is None else self.library.embeddings[row]
        checks.check_files(target, sounds=True)
        shares = latent.normalized(len(target), weights)
        return shares @ self._encode(np.concatenate([self._clips(part, offset) for part in target]))

    def _one_latent(self, target: np.ndarray) -> np.ndarray:
        if target.shape != (self.model.config.latent_dim,):
            raise ToolError(
                f"target: expected a latent of shape ({self.model.config.latent_dim},), found an array of shape "
                f"{target.shape}; samples are given by vaelab.audio.Sound(samples, sample_rate)"
            )
        return target

    def _timbre(self, target: Target, weights: Sequence[float] | None, offset: float | None) -> np.ndarray:
        """The timbre of whatever can be searched for, rounded as a library keeps it (statistics,)."""
        is_file = isinstance(target, str | os.PathLike)
        row = self.library.find(target, offset) if is_file else None
        if row is not None:
            return self.library.index.columns["timbres"][row].astype(np.float32)
        if is_file or isinstance(target, Sound):
            features, _ = spectral.mel(self._clips(target, offset), self.model.audio)
        else:
            features = self.model.decode(self._point(target, weights, offset)[None])
        statistics = timbre.stored_statistics(np.asarray(spectral.quantise(features)), timbre.CEPSTRA)[0]
        return statistics.astype(np.float16).astype(np.float32)

    def _check_classifier(self) -> None:
        if not self.class_names:
            raise ToolError(
                f"{self.path}: this model has no classifier; train one on a dataset made with "
                "`vaelab make-dataset --classes`"
            )

    def _answers(self, paths: Sequence[Path], reasons: Mapping[Path, str | None]) -> Iterator[Answer]:
        """Answers in the order of the paths; those with a reason are not read."""
        for start in range(0, len(paths), rendering.BATCH):
            clips, answers = {}, {}
            for path in paths[start : start + rendering.BATCH]:
                try:
                    if reason := reasons.get(path):
                        raise audio.AudioError(path, reason)
                    clips[path] = self._sounding(path)
                except audio.AudioError as error:
                    answers[path] = Answer(path, None, None, None, error.reason)
            if clips:
                features, _ = rendering.stored_features(np.stack(list(clips.values())), self.model.audio)
                judged = [None] * len(clips)
                if self.reference is not None:
                    stored = np.asarray(spectral.quantise(features))
                    judged = familiarity.familiarity_of(self.model, self.reference, stored)
                rows = in_batches(self.model.classify, features)
                for path, row, familiar in zip(clips, rows, judged, strict=True):
                    answers[path] = Answer(path, self.class_names[int(row.argmax())], row, familiar)
            yield from (answers[path] for path in paths[start : start + rendering.BATCH])

    def _sounding(self, path: Path) -> np.ndarray:
        """The clip of a file (samples,); an AudioError for silence, which is of no class."""
        config = self.model.audio
        _, samples = audio.read_clip(path, config.sample_rate, None, config.clip_seconds)
        if audio.silence.is_silent(samples):
            raise audio.AudioError(path, "expected sound, found silence")
        return spectral.fit_length(samples, config)

    def _lends(self) -> bool:
        return self.library is not None

    def _lender(self, z: np.ndarray) -> tuple[Path, float]:
        files, onsets, _ = self.find_similar(z, 1, by="embedding")
        return files[0], float(onsets[0])

    def _remembered(self) -> Reference:
        if self.reference is None:
            raise ToolError(checks.unfinished(self.path))
        return self.reference
