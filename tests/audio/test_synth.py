import json

import numpy as np
import pytest
from scipy import signal

from vaelab import audio
from vaelab.audio import synth

RATE = 44100
SEEDS = range(8)


def middle(kind, **overrides):
    """Parameters in the middle of their ranges, apart from `overrides`."""
    ranges = synth.KINDS[kind].parameters
    middles = {n: np.sqrt(r.low * r.high) if r.log else (r.low + r.high) / 2 for n, r in ranges.items()}
    return {**middles, **overrides}


def rendered(kind, seed=0, rate=RATE, **overrides):
    return synth.render(kind, middle(kind, **overrides), np.random.default_rng(seed), rate)


def envelope_db(samples, seconds=0.01):
    """Level of successive stretches of `seconds`, dB relative to the loudest."""
    hop = round(seconds * RATE)
    power = np.square(samples[: len(samples) // hop * hop].astype(float)).reshape(-1, hop).mean(1)
    return 10 * np.log10(power / power.max() + 1e-12)


def power_spectrum(samples):
    length = 1 << 17
    spectrum = np.fft.rfft(samples * np.hanning(len(samples)), length)
    return np.fft.rfftfreq(length, 1 / RATE), np.abs(spectrum) ** 2


def centroid_hz(samples):
    frequencies, power = signal.welch(samples, RATE, nperseg=2048)
    return (frequencies * power).sum() / power.sum()


def mean_log_hz(samples):
    """The centre of the amplitude spectrum on a log frequency axis: hears a quiet hiss over a loud tone."""
    frequencies, power = signal.welch(samples, RATE, nperseg=2048)
    return np.average(np.log2(frequencies[1:]), weights=np.sqrt(power[1:]))


def dominant_hz(samples):
    frequencies, power = power_spectrum(samples)
    return frequencies[power.argmax()]


def late_hz(samples):
    return dominant_hz(samples[len(samples) // 4 :])


def early_hz(samples):
    return dominant_hz(samples[: round(0.04 * RATE)])


def lowest_hz(samples):
    return peaks_hz(samples, -20)[0]


def line_width_hz(samples):
    """How far the strongest line spreads."""
    frequencies, power = power_spectrum(samples)
    near = np.abs(frequencies / frequencies[power.argmax()] - 1) < 0.06
    return np.sqrt(np.cov(frequencies[near], aweights=power[near]))


def late_centroid_hz(samples):
    return centroid_hz(samples[len(samples) // 2 :])


def late_dullness(samples):
    return -mean_log_hz(samples[len(samples) // 4 :])


def mode_gap(samples):
    """Median distance between neighbouring modes, octaves."""
    return np.median(np.diff(np.log2(peaks_hz(samples))))


def flatness(samples):
    """1 for white noise, 0 for tones."""
    frequencies, power = signal.welch(samples, RATE, nperseg=2048)
    power = power[(frequencies > 50) & (frequencies < 15000)] + 1e-20
    return np.exp(np.log(power).mean()) / power.mean()


def seconds(samples):
    return len(samples) / RATE


def decay_s(samples):
    """Seconds from the loudest stretch to the last one within 30 dB of it."""
    levels = envelope_db(samples)
    return 0.01 * (np.flatnonzero(levels > -30)[-1] - levels.argmax())


def low_decay_s(samples):
    return decay_s(signal.sosfilt(signal.butter(4, 300, fs=RATE, output="sos"), samples))


def fullness_db(samples):
    return np.maximum(envelope_db(samples), -60).mean()


def irregularity(samples):
    """0 for what repeats exactly after some time between 0.1 and 1 second."""
    levels = np.maximum(envelope_db(samples), -60)
    levels = levels - levels.mean()
    return 1 - max(np.corrcoef(levels[lag:], levels[:-lag])[0, 1] for lag in range(10, 100))


def attack_s(samples):
    return 0.001 * np.argmax(envelope_db(samples, 0.001) > -6)


def onsets(samples):
    # The silence in front lets a sound that starts at once count as an onset.
    levels = np.maximum(np.concatenate([[-60], envelope_db(samples)]), -60)
    return len(signal.find_peaks(levels, prominence=6)[0])


def peaks_hz(samples, floor_db=-40):
    frequencies, power = power_spectrum(samples)
    levels = 10 * np.log10(power / power.max() + 1e-20)
    return frequencies[signal.find_peaks(levels, height=floor_db, prominence=10, distance=30)[0]]


def peak_db(samples):
    return 20 * np.log10(np.abs(samples).max())


@pytest.mark.parametrize("kind", synth.KINDS)
def test_a_seed_gives_one_sound_and_another_seed_another(kind):
    first, parameters = synth.sound(kind, 7)
    again, same_parameters = synth.sound(kind, 7)
    other, other_parameters = synth.sound(kind, 8)
    np.testing.assert_array_equal(first, again)
    assert parameters == same_parameters
    assert all(parameters[name] != other_parameters[name] for name in parameters)
    assert len(first) != len(other) or not np.array_equal(first, other)


@pytest.mark.parametrize("kind", synth.KINDS)
@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_sounds_are_sound_at_every_rate(kind, rate):
    for seed in range(3):
        samples, parameters = synth.sound(kind, seed, rate)
        assert samples.dtype == np.float32
        assert samples.ndim == 1
        assert np.isfinite(samples).all()
        assert 0.1 < len(samples) / rate < 5
        assert peak_db(samples) == pytest.approx(parameters["level_db"], abs=0.01)
        assert abs(samples.astype(float).mean()) < 1e-3 * np.abs(samples).max()
        assert samples[0] == samples[-1] == 0
        assert np.abs(samples[-rate // 1000 :]).max() < 0.03 * np.abs(samples).max()


@pytest.mark.parametrize("kind", synth.KINDS)
def test_parameters_stay_in_their_ranges_and_fill_them(kind):
    ranges = synth.KINDS[kind].parameters
    drawn = [synth.draw(kind, np.random.default_rng(seed)) for seed in range(60)]
    assert 3 <= len(ranges) <= 7
    for name, limits in ranges.items():
        values = [parameters[name] for parameters in drawn]
        assert limits.low <= min(values) < max(values) <= limits.high
        assert max(values) - min(values) > 0.7 * (limits.high - limits.low)


def test_units_are_read_from_names_and_frequencies_and_times_are_drawn_log_uniformly():
    ranges = synth.KINDS["kick"].parameters
    assert (ranges["pitch_hz"].unit, ranges["pitch_hz"].log) == ("Hz", True)
    assert (ranges["decay_s"].unit, ranges["decay_s"].log) == ("s", True)
    assert (ranges["level_db"].unit, ranges["level_db"].log) == ("dB", False)
    assert (ranges["click"].unit, ranges["click"].log) == ("", False)
    rng = np.random.default_rng(0)
    draws = [synth.Range(1, 10000, "Hz", log=True).draw(rng) for _ in range(1000)]
    assert np.median(draws) == pytest.approx(100, rel=0.5)


@pytest.mark.parametrize("kind", synth.KINDS)
def test_the_ends_of_every_range_can_be_rendered(kind):
    ranges = synth.KINDS[kind].parameters
    for end in ("low", "high"):
        corner = {name: getattr(limits, end) for name, limits in ranges.items()}
        samples = synth.render(kind, corner, np.random.default_rng(0), 8000)
        assert np.isfinite(samples).all()
        assert peak_db(samples) == pytest.approx(corner["level_db"], abs=0.01)


def test_a_seed_means_the_same_sound_at_every_rate_without_what_would_alias():
    high, high_parameters = synth.sound("metal", 3, RATE)
    low, low_parameters = synth.sound("metal", 3, 8000)
    assert low_parameters == high_parameters
    modes, kept = peaks_hz(high, -60), peaks_hz(signal.resample_poly(low, RATE, 8000))
    assert len(kept) >= 4
    assert kept.max() < 0.46 * 8000 < modes.max()
    for mode in kept:
        assert np.abs(modes / mode - 1).min() < 0.01


# A row says: raising this parameter from the low to the high end of its range raises what is measured.
MOVES = {
    ("kick", "pitch_hz"): late_hz,
    ("kick", "sweep_octaves"): early_hz,
    ("kick", "sweep_s"): early_hz,
    ("kick", "decay_s"): decay_s,
    ("kick", "click"): mean_log_hz,
    ("kick", "drive_db"): decay_s,
    ("snare", "pitch_hz"): dominant_hz,
    ("snare", "decay_s"): low_decay_s,
    ("snare", "wire_decay_s"): decay_s,
    ("snare", "brightness_hz"): centroid_hz,
    ("snare", "noisiness"): flatness,
    ("closed_hat", "pitch_hz"): lowest_hz,
    ("closed_hat", "brightness_hz"): centroid_hz,
    ("closed_hat", "noisiness"): flatness,
    ("closed_hat", "attack_s"): attack_s,
    ("closed_hat", "decay_s"): decay_s,
    ("open_hat", "pitch_hz"): lowest_hz,
    ("open_hat", "brightness_hz"): centroid_hz,
    ("open_hat", "noisiness"): flatness,
    ("open_hat", "attack_s"): attack_s,
    ("open_hat", "decay_s"): decay_s,
    ("clap", "centre_hz"): centroid_hz,
    ("clap", "bandwidth_octaves"): flatness,
    ("clap", "spacing_s"): seconds,
    ("clap", "decay_s"): seconds,
    ("clap", "room"): decay_s,
    ("tom", "pitch_hz"): late_hz,
    ("tom", "sweep_octaves"): early_hz,
    ("tom", "decay_s"): decay_s,
    ("tom", "brightness"): centroid_hz,
    ("tom", "noisiness"): mean_log_hz,
    ("metal", "pitch_hz"): late_hz,
    ("metal", "stretch"): mode_gap,
    ("metal", "brightness_hz"): centroid_hz,
    ("metal", "decay_s"): decay_s,
    ("metal", "damping"): late_dullness,
    ("metal", "noisiness"): flatness,
    ("drone", "pitch_hz"): dominant_hz,
    ("drone", "detune_cents"): line_width_hz,
    ("drone", "brightness_hz"): centroid_hz,
    ("drone", "noisiness"): flatness,
    ("drone", "attack_s"): attack_s,
    ("drone", "length_s"): seconds,
    ("noise_burst", "centre_hz"): centroid_hz,
    ("noise_burst", "bandwidth_octaves"): flatness,
    ("noise_burst", "sweep_octaves"): late_centroid_hz,
    ("noise_burst", "attack_s"): attack_s,
    ("noise_burst", "decay_s"): decay_s,
    ("machine", "rate_hz"): onsets,
    ("machine", "length_s"): onsets,
    ("machine", "pitch_hz"): mean_log_hz,
    ("machine", "decay_s"): fullness_db,
    ("machine", "noisiness"): flatness,
    ("machine", "unevenness"): irregularity,
    **{(kind, "level_db"): peak_db for kind in synth.KINDS},
}


def test_every_parameter_is_heard():
    assert set(MOVES) == {(kind, name) for kind in synth.KINDS for name in synth.KINDS[kind].parameters}


@pytest.mark.parametrize(("kind", "name"), MOVES)
def test_a_parameter_moves_what_it_names(kind, name):
    measure, limits = MOVES[kind, name], synth.KINDS[kind].parameters[name]
    low, high = (
        np.median([measure(rendered(kind, seed, **{name: value})) for seed in range(3)])
        for value in (limits.low, limits.high)
    )
    assert low < high


@pytest.mark.parametrize("wanted", [0.3, 0.6, 1.2])
def test_decay_s_is_the_time_to_fall_by_60_db(wanted):
    levels = envelope_db(rendered("noise_burst", attack_s=0.001, sweep_octaves=0.0, decay_s=wanted))
    body = levels[: int(0.7 * len(levels))]
    slope, _ = np.polyfit(0.01 * np.arange(len(body)), body, 1)
    assert -60 / slope == pytest.approx(wanted, rel=0.1)


def test_a_kick_is_low_and_falls_in_pitch():
    for seed in SEEDS:
        frequencies, power = power_spectrum(synth.sound("kick", seed)[0])
        assert power[frequencies < 200].sum() > 0.8 * power.sum()
    swept = rendered("kick", sweep_octaves=2.0, sweep_s=0.05, pitch_hz=50.0)
    assert early_hz(swept) > 1.5 * late_hz(swept)
    assert late_hz(swept) == pytest.approx(50, rel=0.1)


def test_a_snare_is_a_tone_under_noise():
    kinds = {kind: [synth.sound(kind, seed)[0] for seed in SEEDS] for kind in ("kick", "snare", "tom")}
    flat = {kind: np.median([flatness(samples) for samples in sounds]) for kind, sounds in kinds.items()}
    assert flat["snare"] > 100 * max(flat["kick"], flat["tom"])
    skin, wires = rendered("snare", noisiness=0.1), rendered("snare", noisiness=0.8)
    assert 140 < dominant_hz(skin) < 300
    assert flatness(wires) > 0.05


def test_hats_are_bright_and_the_closed_one_is_shorter():
    closed, opened = ([synth.sound(kind, seed)[0] for seed in SEEDS] for kind in ("closed_hat", "open_hat"))
    assert min(map(centroid_hz, closed + opened)) > 2500
    assert max(map(decay_s, closed)) < np.median(list(map(decay_s, opened)))
    assert 3 * np.median(list(map(decay_s, closed))) < np.median(list(map(decay_s, opened)))


def test_a_clap_is_several_hands():
    for seed in SEEDS:
        samples = rendered("clap", seed, spacing_s=0.02)
        levels = np.maximum(np.concatenate([[-40], envelope_db(samples[: round(0.12 * RATE)], 0.004)]), -40)
        assert 3 <= len(signal.find_peaks(levels, prominence=5)[0]) <= 8
        assert 700 < centroid_hz(samples) < 4000


def test_a_tom_is_a_tone_that_lies_above_the_kick():
    for seed in SEEDS:
        samples, parameters = synth.sound("tom", seed)
        assert late_hz(samples) == pytest.approx(parameters["pitch_hz"], rel=0.15)
    kick, tom = ([late_hz(synth.sound(kind, seed)[0]) for seed in SEEDS] for kind in ("kick", "tom"))
    assert np.median(tom) > 1.5 * np.median(kick)


def test_metal_rings_with_inharmonic_modes():
    for seed in SEEDS:
        modes = peaks_hz(rendered("metal", seed, noisiness=0.02))
        ratios = modes[1:] / modes[0]
        assert len(ratios) >= 4
        assert np.abs(ratios - np.round(ratios)).mean() > 0.08


def test_a_drone_lasts():
    for seed in SEEDS:
        samples, parameters = synth.sound("drone", seed)
        quarters = np.array_split(samples.astype(float), 4)
        power = 10 * np.log10([np.square(quarter).mean() for quarter in quarters])
        assert seconds(samples) == pytest.approx(parameters["length_s"], abs=0.01)
        assert abs(power[1] - power[2]) < 6
        assert power[3] > power.max() - 10


def test_a_noise_burst_is_noise_and_sweeps():
    assert flatness(rendered("noise_burst", bandwidth_octaves=4.0)) > 0.05
    rising = rendered("noise_burst", sweep_octaves=2.0, bandwidth_octaves=1.0, decay_s=1.5)
    half = len(rising) // 2
    assert centroid_hz(rising[half:]) > 1.5 * centroid_hz(rising[:half])


def test_a_machine_strikes_at_its_rate():
    for seed in SEEDS:
        samples, parameters = synth.sound("machine", seed)
        beats = int(parameters["length_s"] * parameters["rate_hz"])
        assert beats >= 3
        assert 0.7 * beats <= onsets(samples) <= 2 * beats + 1
    assert max(onsets(synth.sound("kick", seed)[0]) for seed in SEEDS) == 1


def test_kinds_can_be_told_apart_but_not_all_by_a_ruler():
    """Nearest neighbour over coarse spectrograms: far above chance (0.1), short of perfect."""
    features, labels = [], np.repeat(list(synth.KINDS), 12)
    for kind in synth.KINDS:
        for seed in range(12):
            samples = np.zeros(32000)
            made = synth.sound(kind, seed, 16000)[0][:32000]
            samples[: len(made)] = made
            power = signal.stft(samples, 16000, nperseg=512)[2]
            power = np.square(np.abs(power[:256, :125])).reshape(16, 16, 25, 5).sum((1, 3))
            features.append((10 * np.log10(power / power.max() + 1e-8)).ravel())
    features = np.array(features)
    distances = np.linalg.norm(features[:, None] - features[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    accuracy = np.mean(labels[distances.argmin(1)] == labels)
    assert 0.55 < accuracy < 0.98


def test_a_dataset_is_a_folder_per_kind_with_its_truth(tmp_path):
    root = synth.write_dataset(tmp_path / "set", per_class=2, sample_rate=16000, progress=False)
    assert root == tmp_path / "set"
    truth = json.loads((root / "parameters.json").read_bytes().decode("ascii"))
    assert [row["path"] for row in truth] == [f"{k}/{k}_{i:04d}.wav" for k in synth.KINDS for i in (1, 2)]
    assert {row["path"] for row in truth} == {p.relative_to(root).as_posix() for p in root.rglob("*.wav")}
    assert {p.name for p in root.iterdir()} == {*synth.KINDS, "parameters.json"}
    for row in truth:
        samples, parameters = synth.sound(row["kind"], row["seed"], 16000)
        assert row["parameters"] == parameters
        written = audio.read(root / row["path"], 16000)
        np.testing.assert_allclose(written, samples, atol=2 / 32768)


def test_a_sound_of_a_dataset_depends_on_seed_kind_and_number_alone(tmp_path):
    def written(name, **options):
        root = synth.write_dataset(tmp_path / name, sample_rate=8000, progress=False, **options)
        return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*.wav")}

    small = written("small", per_class=1, kinds=["kick", "clap"])
    large = written("large", per_class=3, kinds=["clap", "tom", "kick"])
    other = written("other", per_class=1, kinds=["kick", "clap"], seed=1)
    assert len(small) == 2
    assert len(set(large.values())) == len(large) == 9
    assert small.items() <= large.items()
    assert not set(small.values()) & set(other.values())


def test_progress_is_shown_on_request(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE")
    monkeypatch.setattr("vaelab.progress.is_live", lambda: True)
    synth.write_dataset(tmp_path, per_class=1, sample_rate=8000, kinds=["clap"], progress=False)
    assert capsys.readouterr().err == ""
    synth.write_dataset(tmp_path, per_class=1, sample_rate=8000, kinds=["clap"])
    assert "synthesising" in capsys.readouterr().err
    monkeypatch.setenv("TQDM_DISABLE", "1")
    synth.write_dataset(tmp_path, per_class=1, sample_rate=8000, kinds=["clap"])
    assert capsys.readouterr().err == ""


def test_refusals_say_what_was_expected(tmp_path):
    rng = np.random.default_rng(0)
    for refused in (lambda: synth.sound("cowbell", 0), lambda: synth.draw("cowbell", rng)):
        with pytest.raises(ValueError, match=r"one of kick, snare, .*machine; found 'cowbell'"):
            refused()
    with pytest.raises(ValueError, match="one of kick"):
        synth.write_dataset(tmp_path / "set", kinds=["kick", "cowbell"], progress=False)
    with pytest.raises(ValueError, match="per_class: expected 1 to 999999, found 0"):
        synth.write_dataset(tmp_path / "set", per_class=0, progress=False)
    assert not (tmp_path / "set").exists()
    with pytest.raises(ValueError, match="sample_rate: expected at least 8000 Hz, found 4000"):
        synth.sound("kick", 0, 4000)
    with pytest.raises(ValueError, match=r"kick: decay_s: expected 0.18 to 0.9 s, found nan"):
        rendered("kick", decay_s=float("nan"))
    with pytest.raises(ValueError, match=r"kick: expected parameters pitch_hz, .* found .*pich_hz"):
        rendered("kick", pich_hz=50.0)
