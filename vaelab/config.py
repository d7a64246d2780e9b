"""Every setting, as frozen dataclasses that convert to and from JSON. Free of JAX.

A dataclass is the single list of its settings; a JSON file holds overrides only; an unknown or impossible value raises
a `ConfigError` that names it, before any work. The configs are hashable: static arguments of jitted functions.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from vaelab import VaelabError

LIKELIHOODS = ("laplace", "censored", "cross_entropy")
TIMBRES = ("detailed", "plain")
BEFORE = {"timbre": "plain"}  # knobs of models whose files do not name them
FOLLOWED = ("loss", "audible_db")
PRECISIONS = ("float32", "bfloat16")


class ConfigError(VaelabError, ValueError):
    """A knob that does not exist or cannot have the value given."""


class _JsonConfig:
    """JSON in and out, shared by the configs."""

    def to_dict(self) -> dict[str, Any]:
        """All knobs as plain JSON values (tuples become lists)."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, overrides: dict[str, Any]) -> Self:
        """Build from overrides.

        Raises:
            ConfigError: A key is not a knob of this config, or a value has the wrong type or range.
        """
        knobs = [knob.name for knob in dataclasses.fields(cls)]
        if not isinstance(overrides, dict):
            raise ConfigError(f"{cls.__name__}: expected a JSON object of overrides, found {type(overrides).__name__}")
        if unknown := sorted(set(overrides) - set(knobs)):
            raise ConfigError(f"{cls.__name__}: unknown {', '.join(unknown)}; valid keys: {', '.join(knobs)}")
        return cls(**{name: _as_tuple(value) for name, value in overrides.items()})

    def _check(self, name: str, ok: bool, expected: str) -> None:
        if not ok:
            raise ConfigError(f"{type(self).__name__}.{name}: expected {expected}, found {getattr(self, name)!r}")

    def _check_types(self) -> None:
        """Refuse a wrong type before a comparison stumbles over it; an int is a valid float, a bool is not."""
        for knob in dataclasses.fields(self):
            value = getattr(self, knob.name)
            if knob.type is int:
                self._check(knob.name, isinstance(value, int) and not isinstance(value, bool), "an integer")
            elif knob.type in (float, float | None) and not (value is None and knob.type is not float):
                self._check(knob.name, isinstance(value, int | float) and not isinstance(value, bool), "a number")


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(item) for item in value) if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class AudioConfig(_JsonConfig):
    """Settings of the front end: from a clip of sound to mel features and back.

    Attributes:
        sample_rate: Hz.
        clip_seconds: Length of one clip; shorter sounds are padded with silence, longer ones cropped.
        n_fft: Length of the analysis window, samples.
        hop_length: Distance between frames, samples.
        n_mels: Number of mel bands.
        fmin: Lower edge of the lowest band, Hz.
        fmax: Upper edge of the highest band, Hz; None is half the sample rate.
        top_db: Dynamic range kept below the clip's maximum, dB.
    """

    sample_rate: int = 44100
    clip_seconds: float = 2.0
    n_fft: int = 2048
    hop_length: int = 512
    n_mels: int = 128
    fmin: float = 0.0
    fmax: float | None = None
    top_db: float = 80.0

    def __post_init__(self):
        self._check_types()
        self._check("sample_rate", 1000 <= self.sample_rate <= 384_000, "1000 to 384000 Hz")
        self._check("n_fft", self.n_fft >= 16 and self.n_fft % 2 == 0, "an even number of at least 16 samples")
        self._check("hop_length", 1 <= self.hop_length <= self.n_fft // 2, "1 to n_fft / 2 samples")
        self._check("n_mels", 1 <= self.n_mels <= self.n_fft // 2, "1 to n_fft / 2 bands")
        self._check("fmin", 0 <= self.fmin < self.sample_rate / 2, "0 Hz up to half the sample rate")
        self._check(
            "fmax",
            self.fmax is None or self.fmin < self.fmax <= self.sample_rate / 2,
            "None, or above fmin and at most half the sample rate",
        )
        self._check("top_db", 0 < self.top_db <= 200, "above 0 and at most 200 dB")
        self._check("clip_seconds", 0 < self.clip_seconds <= 600, "above 0 and at most 600 seconds")
        shortest = max(2 * self.hop_length, self.n_fft // 2)
        self._check(
            "clip_seconds",
            self.samples >= shortest,
            f"a clip of at least {shortest} samples ({shortest / self.sample_rate:.4g} s: two hops and half a window)",
        )

    @classmethod
    def samplevae(cls) -> Self:
        """The front end of SampleVAE (16 kHz, 125 frames), for comparisons."""
        return cls(sample_rate=16000, clip_seconds=2.0, n_fft=1024, hop_length=256, n_mels=128)

    @property
    def samples(self) -> int:
        """Samples in one clip."""
        return round(self.sample_rate * self.clip_seconds)

    @property
    def frames(self) -> int:
        """Frames in one clip (the last, half-empty one of a centred STFT is dropped)."""
        return self.samples // self.hop_length


@dataclass(frozen=True)
class ModelConfig(_JsonConfig):
    """The size and shape of an IAF-VAE.

    Attributes:
        latent_dim: Size of the latent vector.
        components: Principal components of the training sounds that encoder and decoder work in; 0 is none.
        depth: Dense layers in each of encoder and decoder.
        hidden: Size of each dense layer; the posterior is computed from the encoder's last one.
        dropout: Share of each dense layer's output that training drops.
        width: Channels of convolutions over time beside the components; 0 is none.
        patch: Number of neighbouring frames that the convolutions treat as one.
        blocks: Residual blocks at each time resolution.
        downsamples: How often the encoder halves the number of patches.
        flow_steps: IAF steps; 0 is a plain Gaussian posterior, which trains faster (`docs/training.md`).
        flow_hidden: Hidden units of each step's masked network.
        flow_offset: Added to a flow's gate logits; a positive offset starts the flow near the identity.
        likelihood: "laplace" (one learned scale per band), "censored" (the same, of which inaudible cells say only that
            they are inaudible) or "cross_entropy" (SampleVAE's).
        cepstra: Cepstral coefficients of each frame that the classifier uses (`vaelab.audio.timbre`).
        timbre: The classifier's statistics: "detailed" (with envelope, low pitch and tonality, bounded, and weighted by
            how well each tells the classes apart) or "plain", as in files that do not say.
        labels: The classifier's (name, class names), as a pair in a tuple; an empty tuple is none.
    """

    latent_dim: int = 256  # `python -m experiments.quality.small_folders`
    components: int = 256
    depth: int = 2
    hidden: int = 512
    dropout: float = 0.1
    width: int = 0
    patch: int = 4
    blocks: int = 1
    downsamples: int = 2
    flow_steps: int = 5
    flow_hidden: int = 256
    flow_offset: float = 2.0
    likelihood: str = "censored"
    cepstra: int = 20
    timbre: str = "detailed"
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __post_init__(self):
        self._check_types()
        for name in ("latent_dim", "depth", "hidden", "patch", "flow_hidden", "cepstra"):
            self._check(name, getattr(self, name) >= 1, "at least 1")
        for name in ("components", "width", "blocks", "downsamples", "flow_steps"):
            self._check(name, getattr(self, name) >= 0, "at least 0")
        self._check("width", bool(self.width or self.components), "at least 1 where there are no components")
        self._check("dropout", 0 <= self.dropout < 1, "at least 0 and below 1")
        self._check("flow_offset", -5 <= self.flow_offset <= 20, "-5 to 20, where a gate can open and shut")
        self._check("timbre", self.timbre in TIMBRES, f"one of {', '.join(TIMBRES)}")
        self._check("likelihood", self.likelihood in LIKELIHOODS, f"one of {', '.join(LIKELIHOODS)}")
        self._check(
            "labels", _are_labels(self.labels), "nothing, or one pair of a name and at least two distinct class names"
        )

    @classmethod
    def of_file(cls, config: dict[str, Any]) -> Self:
        """Build from what a file keeps, which may be older than a knob.

        Raises:
            ConfigError: As `from_dict`.
        """
        return cls.from_dict({**BEFORE, **config} if isinstance(config, dict) else config)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that the model tells apart; empty without a classifier."""
        return self.labels[0][1] if self.labels else ()


def _are_labels(labels: Any) -> bool:
    match labels:
        case tuple(()):
            return True
        case tuple((tuple((str(), tuple(names))),)):
            return all(isinstance(name, str) for name in names) and len(set(names)) == len(names) >= 2
    return False


@dataclass(frozen=True)
class TrainConfig(_JsonConfig):
    """Settings of training, and of when it ends by itself.

    The rate warms up, stays constant, and is lowered by `decay` over `decay_steps` each time `patience`
    evaluations in a row bring no improvement; a rate below `stop_rate` times the first ends training.

    Attributes:
        batch_size: Sounds per step.
        learning_rate: Rate after warm-up (AdamW).
        warmup_steps: Steps over which rate and beta rise from zero.
        weight_decay: AdamW's.
        gradient_clip: Largest global norm of a gradient.
        adam_b2: Decay of Adam's second moment.
        average: Decay of the running average of the weights, which is what is evaluated and kept.
        evaluate_every: Steps between evaluations on the held-out sounds.
        follow: Held-out figure that must fall: it decides when the rate is lowered, when training ends and which model
            is the best: "loss", or "audible_db", the error where sounds are audible.
        patience: Evaluations without improvement after which the rate is lowered.
        min_improvement: Smallest relative fall of the followed figure that counts as one.
        decay: Factor by which a plateau lowers the rate.
        decay_steps: Steps over which it is lowered.
        stop_rate: Training ends when rate / learning_rate falls below this.
        beta: Weight of the KL term.
        free_bits: A batch's mean KL below this many nats has no gradient; 0 is off.
        shift_frames: Augmentation: each sound begins later by a random number of frames up to this; 0 is off.
        shift_bins: Augmentation: each sound's mel bands move up or down by a random number up to this; 0 is off.
        tilt_db: Augmentation: each sound's spectrum tilts by a random slope; dB up or down at most, from the lowest
            band to the highest; 0 is off.
        variants: Variants of each sound, tuned, stretched and tilted at random, that a new model's components are
            fitted to beside the sounds themselves; fewer where that would be more than `component_rows`.
        component_rows: Sounds and variants that components are fitted to, at most; the time rises with the square and,
            beyond some ten thousand, the cube of it.
        vary: Augmentation: share of the sounds of a step that are such variants; 0 is off.
        label_weight: How much classes, beside timbre, decide which embeddings are close, on the map and in searches by
            embedding: variance of the classes, as a multiple of that of all timbre statistics; 0 is not at all.
        precision: "float32", or "bfloat16" for encoder and decoder; weights, flow and losses stay float32.
        steps_per_dispatch: Steps that the device is given at a time. When they are done the host looks at their
            metrics, and training stops if a loss was not finite.
        device_megabytes: Features up to this size stay on the device; more are streamed from the store.
    """

    batch_size: int = 16
    learning_rate: float = 5e-4
    warmup_steps: int = 100
    weight_decay: float = 1e-2
    gradient_clip: float = 1.0
    adam_b2: float = 0.95
    average: float = 0.99
    evaluate_every: int = 100
    follow: str = "audible_db"
    patience: int = 2
    min_improvement: float = 2e-3
    decay: float = 0.3
    decay_steps: int = 200
    stop_rate: float = 0.05
    beta: float = 1.0
    free_bits: float = 0.0
    shift_frames: int = 0
    shift_bins: int = 2
    tilt_db: float = 0.0
    variants: int = 3
    component_rows: int = 4608
    vary: float = 0.0
    label_weight: float = 0.0
    precision: str = "float32"
    steps_per_dispatch: int = 20
    device_megabytes: float = 1024.0

    def __post_init__(self):
        self._check_types()
        for name in ("batch_size", "component_rows", "evaluate_every", "patience", "decay_steps", "steps_per_dispatch"):
            self._check(name, getattr(self, name) >= 1, "at least 1")
        for name in ("learning_rate", "gradient_clip"):
            self._check(name, getattr(self, name) > 0, "above 0")
        for name in ("warmup_steps", "weight_decay", "min_improvement", "beta", "free_bits", "label_weight"):
            self._check(name, getattr(self, name) >= 0, "at least 0")
        for name in ("shift_frames", "shift_bins", "tilt_db", "variants", "device_megabytes"):
            self._check(name, getattr(self, name) >= 0, "at least 0")
        self._check("vary", 0 <= self.vary <= 1, "0 to 1")
        self._check("follow", self.follow in FOLLOWED, f"one of {', '.join(FOLLOWED)}")
        self._check("precision", self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")
        for name in ("decay", "stop_rate"):
            self._check(name, 0 < getattr(self, name) < 1, "between 0 and 1")
        for name in ("average", "adam_b2"):
            self._check(name, 0 <= getattr(self, name) < 1, "at least 0 and below 1")


@dataclass(frozen=True)
class SliceConfig(_JsonConfig):
    """Settings of slicing a long recording into segments.

    Attributes:
        sensitivity: 0 to 1: how small a rise is an onset.
        min_seconds: Least length of a segment, and distance of onsets.
        max_seconds: Longer segments are cut where they change most.
        gap_seconds: A shorter quiet moment does not end a sound.
        texture_seconds: Stationary sound is kept if at least this long, or all there is, and louder than `hiss_dbfs`.
        hiss_dbfs: Stationary sound with a lower mean power is treated as hiss; a full-scale sine is at -3.
        onsets: Whether onsets within a sound cut it.
        hop_seconds: If above 0, all windows of `window_seconds`, so far apart, and the last one, are the segments,
            whatever sounds in them, but for silent ones.
        window_seconds: Length of windows; a shorter recording is one.
    """

    sensitivity: float = 0.5
    min_seconds: float = 0.1
    max_seconds: float = 8.0
    gap_seconds: float = 0.06
    texture_seconds: float = 8.0
    hiss_dbfs: float = -45.0
    onsets: bool = True
    hop_seconds: float = 0.0
    window_seconds: float = 2.0

    def __post_init__(self):
        self._check_types()
        self._check("sensitivity", 0 <= self.sensitivity <= 1, "0 to 1")
        self._check("min_seconds", 0.02 <= self.min_seconds <= 60, "0.02 to 60 s")
        self._check("max_seconds", 4 * self.min_seconds <= self.max_seconds <= 600, "4 min_seconds to 600 s")
        self._check("gap_seconds", 0 <= self.gap_seconds <= 60, "0 to 60 s")
        self._check("texture_seconds", 0.5 <= self.texture_seconds <= 600, "0.5 to 600 s")
        self._check("hiss_dbfs", -90 <= self.hiss_dbfs <= 0, "-90 to 0 dBFS")
        self._check("onsets", isinstance(self.onsets, bool), "true or false")
        hops = self.hop_seconds == 0 or 0.01 <= self.hop_seconds <= 600
        self._check("hop_seconds", hops, "0, which cuts at sounds, or 0.01 to 600 s")
        self._check("window_seconds", 0.05 <= self.window_seconds <= 600, "0.05 to 600 s")

    @property
    def threshold_db(self) -> float:
        """The rise that is an onset: 8 dB in the middle, 32 at sensitivity 0, 2 at 1."""
        return 2.0 * 4.0 ** (2 - 2 * self.sensitivity)


@dataclass(frozen=True)
class Config(_JsonConfig):
    """All knobs of a run, as `--config FILE.json` holds them: {"audio": {...}, "model": {...}, "train": {...}}."""

    audio: AudioConfig = field(default_factory=AudioConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self):
        frames, mels, train = self.audio.frames, self.audio.n_mels, self.train
        train._check("shift_frames", train.shift_frames < frames, f"fewer than the clip's {frames} frames")
        train._check("shift_bins", train.shift_bins < mels, f"fewer than the {mels} mel bands")
        train._check("tilt_db", train.tilt_db <= self.audio.top_db, f"at most top_db, {self.audio.top_db:g} dB")

    @classmethod
    def from_dict(cls, overrides: dict[str, Any]) -> Self:
        """Build from nested overrides.

        Raises:
            ConfigError: As for each part.
        """
        parts = {"audio": AudioConfig, "model": ModelConfig, "train": TrainConfig}
        if unknown := sorted(set(overrides) - set(parts)):
            raise ConfigError(f"Config: unknown {', '.join(unknown)}; valid keys: {', '.join(parts)}")
        return cls(**{name: parts[name].from_dict(part) for name, part in overrides.items()})

    @classmethod
    def of_file(cls, config: dict[str, Any]) -> Self:
        """Build from what a run's file keeps, which may be older than a knob.

        Raises:
            ConfigError: As `from_dict`.
        """
        return cls.from_dict({**config, "model": {**BEFORE, **config["model"]}})

    @classmethod
    def from_file(cls, path: str | Path, base: Self | None = None) -> Self:
        """Read a JSON file of overrides of the defaults, or of another config.

        Raises:
            ConfigError: The file cannot be read, is not a JSON object, or holds an unknown or bad knob.
        """
        try:
            overrides = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(f"{path}: expected a JSON file of overrides: {error}") from error
        if not isinstance(overrides, dict):
            raise ConfigError(f"{path}: expected a JSON object, found {type(overrides).__name__}")
        before = {} if base is None else base.to_dict()
        merged = {name: {**before.get(name, {}), **part} for name, part in overrides.items() if isinstance(part, dict)}
        return cls.from_dict({**before, **overrides, **merged})
