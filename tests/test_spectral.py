"""The front end equals librosa's, keeps the level, and its way back is exact."""

from functools import lru_cache
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
from conftest import TINY_AUDIO
from faults import builders

from vaelab import audio, spectral
from vaelab.config import AudioConfig

try:
    import av
except ImportError:
    av = None

# librosa.load goes through audioread, which imports modules that Python 3.13 drops.
pytestmark = pytest.mark.filterwarnings("ignore:.*slated for removal in Python 3.13:DeprecationWarning")

KITS = Path("/usr/share/hydrogen/data/drumkits")
SAMPLES = Path("/usr/share/sonic-pi/samples")
ODD = AudioConfig(sample_rate=22050, clip_seconds=0.7, n_fft=1200, hop_length=331, n_mels=40, fmin=55.0, fmax=9000.0)
CONFIGS = {
    "default": AudioConfig(),
    "samplevae": AudioConfig.samplevae(),
    "odd": ODD,
    "tiny": TINY_AUDIO,
}
FORMATS = {
    "wav": ("WAV", "PCM_16", 44100),
    "wav24": ("WAV", "PCM_24", 48000),
    "aiff": ("AIFF", "PCM_16", 44100),
    "aifc": ("AIFF", "FLOAT", 22050),
    "flac": ("FLAC", "PCM_16", 96000),
    "ogg": ("OGG", "VORBIS", 44100),
    "opus": ("OGG", "OPUS", 48000),
    "mp3": ("MP3", None, 44100),
}


BANKS = {
    **CONFIGS,
    "high": AudioConfig(sample_rate=48000, n_mels=96, fmin=1200.0, fmax=20000.0),
    "low": AudioConfig(sample_rate=1000, n_fft=256, hop_length=64, n_mels=32),
}


@pytest.mark.filterwarnings("ignore:Empty filters:UserWarning")  # of high resolution at low frequencies
@pytest.mark.parametrize("config", BANKS.values(), ids=BANKS)
def test_the_filters_are_librosas_to_the_bit(config):
    theirs = librosa.filters.mel(
        sr=config.sample_rate, n_fft=config.n_fft, n_mels=config.n_mels, fmin=config.fmin, fmax=config.fmax
    )
    assert spectral.filterbank(config).dtype == theirs.dtype
    np.testing.assert_array_equal(spectral.filterbank(config), theirs)


def librosas(samples: np.ndarray, config: AudioConfig) -> tuple[np.ndarray, float]:
    """Features (frames, mels) and level as librosa has them."""
    power = librosa.feature.melspectrogram(
        y=spectral.fit_length(samples, config),
        sr=config.sample_rate,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        fmin=config.fmin,
        fmax=config.fmax,
        pad_mode="constant",
    )[:, : config.frames]
    decibels = librosa.power_to_db(power, ref=np.max, top_db=config.top_db)
    return 1 + decibels.T / config.top_db, float(10 * np.log10(power.max()))


def assert_equals_librosa(path: Path, config: AudioConfig) -> None:
    """From file to features, both ways: librosa reads, mixes down and resamples by itself."""
    ours = audio.read(path, config.sample_rate, seconds=config.clip_seconds)
    theirs, _ = librosa.load(path, sr=config.sample_rate, duration=config.clip_seconds)
    features, level_db = spectral.mel(spectral.fit_length(ours, config)[None], config)
    expected, expected_level = librosas(theirs, config)
    assert features.shape == (1, config.frames, config.n_mels)
    assert np.abs(np.asarray(features[0]) - expected).max() < 1e-3
    assert float(level_db[0]) == pytest.approx(expected_level, abs=1e-2)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("kind", FORMATS)
def test_features_equal_librosas_in_every_format(kind, config, tmp_path):
    container, subtype, rate = FORMATS[kind]
    path = tmp_path / f"sound.{kind}"
    soundfile.write(path, builders.tone(7, 0.9, rate, channels=2), rate, format=container, subtype=subtype)
    assert_equals_librosa(path, config)


@pytest.mark.skipif(not KITS.is_dir(), reason="Hydrogen's drum kits are not installed: hydrogen-drumkits")
@pytest.mark.parametrize("suffix", ["wav", "aiff", "flac"])
def test_features_equal_librosas_on_drums(suffix):
    for path in sorted(KITS.glob(f"*/*.{suffix}"))[::25]:
        assert_equals_librosa(path, CONFIGS["default"])


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="Sonic Pi's samples are not installed: sonic-pi-samples")
def test_features_equal_librosas_on_samples():
    for path in sorted(SAMPLES.glob("*.flac"))[::12]:
        assert_equals_librosa(path, CONFIGS["samplevae"])


# How a real sound is encoded: by libsndfile (container, subtype, rate), or by FFmpeg (codec, container).
REAL_FORMATS = {
    ".wav": ("WAV", "PCM_16", 44100),
    ".aiff": ("AIFF", "PCM_24", 44100),
    ".aif": ("AIFF", "PCM_16", 48000),
    ".aifc": ("AIFF", "FLOAT", 44100),
    ".flac": ("FLAC", "PCM_16", 44100),
    ".ogg": ("OGG", "VORBIS", 44100),
    ".opus": ("OGG", "OPUS", 48000),
    ".mp3": ("MP3", None, 44100),
    ".caf": ("CAF", "PCM_16", 44100),
    ".aac": ("aac", "adts"),
    ".m4a": ("aac", "mp4"),
    ".wma": ("wmav2", "asf"),
    ".wv": ("wavpack", "wv"),
}


@lru_cache
def real_sounds() -> list[tuple[np.ndarray, float]]:
    """Real one-shots of many kits and lengths, (samples, channels) at 44.1 kHz, with peaks of one half; and levels."""
    paths = [*sorted(KITS.glob("*/*.wav"))[::60], *sorted(KITS.glob("*/*.flac"))[::90], *sorted(SAMPLES.glob("*.flac"))]
    sounds = []
    for path in paths[:12] + paths[12::30]:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        if rate == 44100 and len(samples) > 2000:
            samples = 0.5 * samples[: 3 * rate] / np.abs(samples).max()
            sounds.append((samples, librosas(librosa.to_mono(samples.T), CONFIGS["default"])[1]))
    return sounds


def encode(path: Path, samples: np.ndarray) -> None:
    how = REAL_FORMATS[path.suffix]
    if len(how) == 2:
        path.write_bytes(builders.encoded(samples, *how))
    else:
        container, subtype, rate = how
        there = samples if rate == 44100 else librosa.resample(samples.T, orig_sr=44100, target_sr=rate).T
        soundfile.write(path, there, rate, format=container, subtype=subtype)


def decoded_independently(path: Path, config: AudioConfig) -> np.ndarray:
    """A file's samples, decoded by librosa, or by PyAV alone where librosa cannot; mono at the config's rate."""
    if len(REAL_FORMATS[path.suffix]) == 3:
        return librosa.load(path, sr=config.sample_rate, duration=config.clip_seconds)[0]
    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        convert = av.AudioResampler("fltp", None, rate)
        planes = np.concatenate(
            [part.to_ndarray() for frame in container.decode(audio=0) for part in convert.resample(frame)], axis=1
        )
    return librosa.resample(librosa.to_mono(planes), orig_sr=rate, target_sr=config.sample_rate)


@pytest.mark.skipif(not (KITS.is_dir() and SAMPLES.is_dir()), reason="needs hydrogen-drumkits and sonic-pi-samples")
@pytest.mark.skipif(av is None, reason="PyAV is not installed: pip install 'vaelab[video]'")
@pytest.mark.parametrize("suffix", audio.EXTENSIONS)
def test_real_sounds_in_every_format_equal_librosas_and_keep_their_level(suffix, tmp_path):
    """Features are librosa's on the decoded samples; the level survives the encoding, every other time 12 dB lower."""
    config, path, real = CONFIGS["default"], tmp_path / f"sound{suffix}", real_sounds()
    assert len(real) >= 12
    for number, (samples, original_level) in enumerate(real):
        lower_db = 12 * (number % 2)
        encode(path, samples * 10 ** (-lower_db / 20))
        ours = audio.read(path, config.sample_rate, seconds=config.clip_seconds)
        features, level_db = spectral.mel(spectral.fit_length(ours, config)[None], config)
        expected, expected_level = librosas(decoded_independently(path, config), config)
        assert np.abs(np.asarray(features[0]) - expected).max() < 1e-3
        assert float(level_db[0]) == pytest.approx(expected_level, abs=1e-2)
        if suffix != ".wma":  # FFmpeg's encoder drops the end, and so most of a short sound
            assert float(level_db[0]) == pytest.approx(original_level - lower_db, abs=1.0)


def test_the_level_is_kept_beside_features_that_do_not_depend_on_it():
    config = CONFIGS["odd"]
    clip = spectral.fit_length(builders.tone(3, 0.7, 22050)[:, 0], config)
    gains = np.array([1.0, 0.1, 2.0, 1e-3], np.float32)
    features, level_db = (np.asarray(part) for part in spectral.mel(gains[:, None] * clip, config))
    assert np.abs(features[:3] - features[0]).max() < 1e-4
    assert np.allclose(level_db - level_db[0], 20 * np.log10(gains), atol=1e-3)


def test_silence_is_all_zeros():
    for amplitude in (0.0, 1e-12):
        features, level_db = spectral.mel(np.full((1, TINY_AUDIO.samples), amplitude, np.float32), TINY_AUDIO)
        assert not np.asarray(features).any()
        assert float(level_db[0]) == pytest.approx(-100)


def test_features_fill_their_range_and_stand_in_it():
    clip = spectral.fit_length(builders.tone(4, 0.5, 8000)[:, 0], TINY_AUDIO)
    features = np.asarray(spectral.mel(clip[None], TINY_AUDIO)[0])
    assert features.min() >= 0
    assert features.max() == 1


@pytest.mark.parametrize(
    ("samples", "n_fft", "hop"), [(4001, 256, 128), (4001, 256, 100), (5000, 250, 77), (1003, 512, 256), (4096, 256, 1)]
)
def test_framing_is_librosas_at_odd_sizes(samples, n_fft, hop):
    """Hops that do not divide the window, clips that do not fill their frames."""
    config = AudioConfig(sample_rate=8000, clip_seconds=samples / 8000, n_fft=n_fft, hop_length=hop, n_mels=10)
    clip = builders.tone(5, samples / 8000, 8000)[:, 0]
    ours = np.asarray(spectral.stft(clip[None], config))[0]
    theirs = librosa.stft(clip, n_fft=n_fft, hop_length=hop, pad_mode="constant").T[: config.frames]
    assert ours.shape == theirs.shape == (samples // hop, n_fft // 2 + 1)
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_stft_is_inverted_where_windows_reach(config):
    clip = spectral.fit_length(builders.tone(6, config.clip_seconds, config.sample_rate)[:, 0], config)
    back = np.asarray(spectral.istft(spectral.stft(clip[None], config), config))[0]
    reached = config.frames * config.hop_length - config.n_fft // 2  # beyond, the dropped last frame would be needed
    assert np.abs(back - clip)[:reached].max() < 1e-5
    assert np.abs(back).max() <= 1.01 * np.abs(clip).max()


def test_batches_equal_singles():
    clips = np.stack([spectral.fit_length(builders.tone(seed, 0.5, 8000)[:, 0], TINY_AUDIO) for seed in range(5)])
    features, level_db = spectral.mel(clips, TINY_AUDIO)
    for index, clip in enumerate(clips):
        single, single_level = spectral.mel(clip[None], TINY_AUDIO)
        assert np.abs(np.asarray(single[0] - features[index])).max() < 1e-5
        assert float(single_level[0]) == pytest.approx(float(level_db[index]), abs=1e-3)


def test_stored_levels_are_within_half_a_step():
    features = np.linspace(0, 1, 1001, dtype=np.float32)
    stored = spectral.quantise(features)
    assert stored.dtype == np.uint8
    assert np.abs(np.asarray(spectral.dequantise(stored)) - features).max() <= 0.5 / 255 + 1e-6


def test_fit_length_pads_with_silence_and_crops():
    short, long = spectral.fit_length(np.ones(3), TINY_AUDIO), spectral.fit_length(np.ones(9999), TINY_AUDIO)
    assert short.shape == long.shape == (TINY_AUDIO.samples,)
    assert (short.sum(), long.sum()) == (3, TINY_AUDIO.samples)
    assert short.dtype == np.float32


def test_the_guessed_phase_puts_an_onset_in_its_place():
    """From magnitudes alone: a click is where it was, not at the start or the middle of a window."""
    config = AudioConfig(sample_rate=8000, clip_seconds=0.5, n_fft=256, hop_length=64, n_mels=24)
    for place in (300, 1111, 2750):
        clip = np.zeros((1, config.samples), np.float32)
        clip[0, place] = 1
        magnitude = np.abs(np.asarray(spectral.stft(clip, config)))
        spectrum = magnitude * np.exp(1j * np.asarray(spectral.guess_phase(magnitude, config)))
        energy = np.square(np.asarray(spectral.istft(spectrum, config))[0])
        assert abs(energy @ np.arange(config.samples) / energy.sum() - place) <= 16


def test_the_guessed_phase_lets_a_tone_go_on():
    config = CONFIGS["odd"]
    clip = np.sin(2 * np.pi * 441 * np.arange(config.samples) / config.sample_rate).astype(np.float32)[None]
    magnitude = np.abs(np.asarray(spectral.stft(clip, config)))

    def error(phase):
        made = spectral.stft(spectral.istft(magnitude * np.exp(1j * np.asarray(phase)), config), config)
        return np.linalg.norm(np.abs(made) - magnitude) / np.linalg.norm(magnitude)

    any_phase = np.random.default_rng(0).uniform(0, 2 * np.pi, magnitude.shape).astype(np.float32)
    guessed = error(spectral.guess_phase(magnitude, config))
    assert guessed < 0.75 * min(error(np.zeros_like(magnitude)), error(any_phase)), guessed


def test_the_mel_inversion_fits_the_bands():
    """What comes out is not negative and has the mel power that went in; with silence, silence."""
    config = CONFIGS["odd"]
    filters = spectral.filterbank(config)
    true = np.random.default_rng(0).gamma(0.5, size=(1, 20, config.n_fft // 2 + 1)).astype(np.float32)
    true[0, 3] = 0
    power = np.asarray(spectral.power_spectrum(true @ filters.T, filters))
    assert power.min() >= 0
    assert not power[0, 3].any()
    np.testing.assert_allclose(power @ filters.T, true @ filters.T, rtol=0.02, atol=2e-3)


@pytest.mark.parametrize("with_phase", [False, True])
def test_the_way_back_is_close(with_phase):
    """Spectral convergence of resynthesis: a phase of its own beats one that has to be found."""
    config = CONFIGS["odd"]
    clip = spectral.fit_length(builders.tone(8, 0.7, 22050)[:, 0], config)[None]
    features, level_db = spectral.mel(clip, config)
    spectrum = np.asarray(spectral.stft(clip, config))
    phase = np.angle(spectrum) if with_phase else None
    back = np.asarray(spectral.invert(features, config, phase)) * 10 ** (np.asarray(level_db) / 20)
    made = np.abs(np.asarray(spectral.stft(back, config)))
    convergence = np.linalg.norm(made - np.abs(spectrum)) / np.linalg.norm(spectrum)
    assert back.shape == clip.shape
    assert convergence < (0.2 if with_phase else 0.45), convergence
