"""Reading sounds: the corpus of faults, the bounds, the workers, and what each error says."""

import base64
import io
import os
import re
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from faults import builders, table
from faults.behaviours import RefusalError, behave

from vaelab import audio
from vaelab.audio import decoders, reading, workers
from vaelab.data import make_dataset

try:
    import av
except ImportError:
    av = None

needs_av = pytest.mark.skipif(av is None, reason="PyAV is not installed: pip install 'vaelab[video]'")
REPOSITORY = Path(__file__).parents[2]
ROWS = table.FAULTS + (table.VIDEO_FAULTS if av else [])


def row_id(row) -> str:
    return ascii(os.fsdecode(row[0]))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """The corpus on disk."""
    root = tmp_path_factory.mktemp("corpus") / "sounds"
    root.mkdir()
    table.build(ROWS, root)
    return root


@pytest.fixture(scope="module")
def verdicts(corpus):
    """The corpus made into a dataset: the seconds or the reason of each path."""
    dataset = make_dataset([corpus], "faults", home=corpus.parent / "datasets", progress=False)
    found = {entry.path: entry.seconds for entry in dataset.entries}
    return found | {skip["path"]: skip["reason"] for skip in dataset.skipped}, dataset


def test_the_corpus_is_large(verdicts):
    found, dataset = verdicts
    assert len(ROWS) >= 60
    inside_the_folder = 1
    told = sum(verdict is not None for _, _, verdict in ROWS)
    assert len(found) == len(dataset.entries) + len(dataset.skipped) == told + inside_the_folder


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_each_fault_gets_its_verdict(row, verdicts):
    name, _, verdict = row
    if verdict is None:
        assert os.fsdecode(name) not in verdicts[0]
        return
    found = verdicts[0][os.fsdecode(name)]
    if isinstance(verdict, str):
        assert isinstance(found, str), f"used, with {found} s"
        assert re.search(verdict, found)
    else:
        low, high = verdict if isinstance(verdict, tuple) else (verdict - 1e-3, verdict + 1e-3)
        assert isinstance(found, float), found
        assert low <= found <= high


def test_every_used_sound_can_be_read(verdicts):
    dataset = verdicts[1]
    for entry in dataset.entries:
        samples = audio.read(dataset.source(entry), 16000, seconds=2.0, sha256=entry.sha256)
        assert 1 <= len(samples) <= 32000
        assert np.isfinite(samples).all()


def test_no_file_of_the_corpus_has_changed(corpus, verdicts):
    """Nor is one gone: what was written for a row is there as it was written."""
    assert verdicts[1].entries
    for name, holds, _ in ROWS:
        path = corpus / os.fsdecode(name)
        assert os.path.lexists(path)
        if not callable(holds):
            assert path.read_bytes() == holds


def test_the_report_counts_everything_and_stays_printable(verdicts):
    report = verdicts[1].report()
    scanned, used, skipped = map(int, re.search(r"(\d+) scanned = (\d+) used \+ (\d+) skipped", report).groups())
    assert scanned == used + skipped
    assert sum(map(int, re.findall(r"^  skipped (\d+): expected|^  skipped (\d+): same", report, re.M)[0][:1])) > 0
    assert all(line.isprintable() for line in report.split("\n"))


CORPUS_RUN = """
import sys
from vaelab import data
from vaelab.config import AudioConfig
from vaelab.datasets.feature_store import FeatureStore
dataset = data.make_dataset([sys.argv[1]], "faults", home=sys.argv[2], progress=False)
store = FeatureStore(sys.argv[2] + "/.store", AudioConfig())
failed = store.build({entry.sha256: dataset.source(entry) for entry in dataset.entries}, progress=False)
print(len(dataset.entries), len(store), failed)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc, which is Linux's")
def test_the_corpus_fits_in_a_minute_and_a_gigabyte_and_a_half(corpus, tmp_path):
    """From files to features, in a process tree of its own whose memory is added up as it runs."""
    start = time.monotonic()
    command = [sys.executable, "-W", "error", "-c", CORPUS_RUN, str(corpus), str(tmp_path)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peak = 0
    while running.poll() is None:
        peak = max(peak, tree_memory(running.pid))
        time.sleep(0.05)
    printed, complaints = running.communicate()
    assert running.returncode == 0, complaints
    used, stored, failed = printed.split(maxsplit=2)
    assert (used, failed.strip()) == (stored, "{}")
    assert complaints == ""
    assert time.monotonic() - start < 60
    assert peak < 1.5e9


def tree_memory(pid: int) -> int:
    """Resident bytes of a process and all below it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = [
            child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return 0
    resident = re.search(r"VmRSS:\s+(\d+) kB", status)
    return (1024 * int(resident[1]) if resident else 0) + sum(tree_memory(int(child)) for child in children)


def test_workers_are_small_confined_and_without_jax():
    (answer,) = workers.outcomes(behave, [("tell",)], RefusalError)
    (pid, address_space, modules), reason = answer
    assert reason is None
    assert pid != os.getpid()
    assert address_space == 1 << 30
    assert not {"jax", "flax", "librosa", "vaelab.spectral"} & set(modules)


def test_a_death_costs_its_item_and_no_other():
    items = [("return", 0), ("die",), ("return", 2), ("refuse",), ("eat",), ("stumble", 5), ("crash",), ("return", 7)]
    found = list(workers.outcomes(behave, items, RefusalError, chunk=3))
    assert [result for result, _ in found] == [0, None, 2, None, None, None, None, 7]
    assert [reason for _, reason in found] == [
        None,
        workers.DIED,
        None,
        "refused",
        workers.TOO_LARGE,
        "expected a file that decodes, found KeyError: 5",
        workers.DIED,
        None,
    ]


def test_a_spinning_decoder_is_ended_by_the_kernel():
    code = (
        "from vaelab.audio import workers; from faults.behaviours import behave, RefusalError;"
        "workers.CPU_SECONDS = 0.2; workers._outcome(behave, ('spin',), RefusalError)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY / "tests", timeout=30, check=False)
    assert ended.returncode == -signal.SIGPROF


def test_workers_end_with_a_session_that_was_killed():
    code = (
        "import os; from vaelab.audio import workers; from faults.behaviours import behave, RefusalError;"
        "found = list(workers.outcomes(behave, [('tell',)], RefusalError));"
        "print(found[0][0][0], flush=True); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY / "tests", stdout=subprocess.PIPE, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    worker = int(killed.stdout)
    deadline = time.monotonic() + 10
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_running(worker)


def is_running(pid: int) -> bool:
    try:
        return "Z" not in re.search(r"State:\s+(\S)", Path(f"/proc/{pid}/status").read_text())[1]
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_read_takes_a_stretch_mixes_down_and_resamples(tmp_path):
    time_s = np.arange(48000) / 48000
    left, right = np.sin(2 * np.pi * 440 * time_s), np.sin(2 * np.pi * 1000 * time_s)
    soundfile.write(tmp_path / "stereo.wav", 0.4 * np.stack([left, right], axis=1), 48000, subtype="FLOAT")
    samples = audio.read(tmp_path / "stereo.wav", 24000, offset=0.25, seconds=0.5)
    assert samples.dtype == np.float32
    assert samples.shape == (12000,)
    wanted = 0.2 * (left + right)[12000:36000:2]
    assert np.abs(samples - wanted)[200:-200].max() < 1e-3


def test_read_keeps_both_channels_where_asked(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.uniform(-0.5, 0.5, (9000, 3)).astype(np.float32)
    for count in (1, 2, 3):
        soundfile.write(tmp_path / f"{count}.wav", noise[:, :count], 8000, subtype="FLOAT")
    assert np.array_equal(audio.read(tmp_path / "2.wav", 8000, 0.1, 0.5, channels="source"), noise[800:4800, :2])
    both = audio.read(tmp_path / "2.wav", 6000, channels="source")
    assert both.dtype == np.float32
    assert both.shape == (6750, 2)
    assert np.abs(both.mean(axis=1) - audio.read(tmp_path / "2.wav", 6000)).max() < 1e-6
    for count in (1, 3):  # three are no stereo
        path = tmp_path / f"{count}.wav"
        assert np.array_equal(audio.read(path, 6000, channels="source"), audio.read(path, 6000))


def test_read_stops_at_the_end_of_the_file(tmp_path):
    (tmp_path / "short.flac").write_bytes(builders.sound("FLAC", seconds=0.3))
    whole = audio.read(tmp_path / "short.flac", 44100)
    assert len(whole) == round(0.3 * 44100)
    assert np.array_equal(audio.read(tmp_path / "short.flac", 44100, offset=0.1, seconds=9), whole[4410:])


def test_reads_are_bounded_by_policy(tmp_path, monkeypatch):
    """An hour of silence is a few kilobytes; whoever asks for all of it gets what the policy allows."""
    (tmp_path / "long.flac").write_bytes(builders.silence("FLAC", 30.0))
    monkeypatch.setattr(reading, "MAX_SECONDS", 2.0)
    assert len(audio.read(tmp_path / "long.flac", 1000)) == 2000
    assert len(audio.read(tmp_path / "long.flac", 1000, seconds=1e9)) == 2000


def test_a_claim_that_cannot_be_reached_is_not_believed(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "PROBE_SECONDS", 0.1)
    (tmp_path / "bomb.flac").write_bytes(builders.flac_claiming(2**36 - 1))
    assert 0.2 < audio.examine(tmp_path / "bomb.flac").seconds < 0.3
    (tmp_path / "honest.flac").write_bytes(builders.sound("FLAC", seconds=0.3))
    assert audio.examine(tmp_path / "honest.flac").seconds == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("holds", "message"),
    [
        (None, r"kick\.wav: expected a sound file, found none that can be opened: No such file or directory"),
        (b"text", r"kick\.wav: expected a sound file; libsndfile says: Format not recognised"),
        (builders.wav_header(rate=1), r"kick\.wav: expected a rate of 1000 to 384000 Hz, found 1 Hz"),
        (builders.wav_header(channels=65, data=bytes(6500)), r"kick\.wav: expected 1 to 64 channels, found 65"),
        (builders.wav_of(float("nan")), r"kick\.wav: expected finite samples, found NaN or infinity; export"),
        (builders.wav_of(1e30), r"kick\.wav: expected samples near full scale \(1\), found 1e\+30; export"),
        (builders.sound("WAV")[:44], r"kick\.wav: expected sound at 0 s, found none: the file is empty"),
    ],
)
def test_errors_name_the_file_and_say_what_was_found(tmp_path, holds, message):
    path = tmp_path / "kick.wav"
    if holds is not None:
        path.write_bytes(holds)
    with pytest.raises(audio.AudioError, match=message) as caught:
        audio.read(path, 44100)
    assert caught.value.path == path
    assert str(caught.value).endswith(caught.value.reason)


def test_errors_of_a_choice_that_is_impossible(tmp_path):
    (tmp_path / "kick.wav").write_bytes(builders.sound("WAV", seconds=0.3))
    with pytest.raises(audio.AudioError, match=r"expected sound at 5 s, found none: .* ends before"):
        audio.read(tmp_path / "kick.wav", 44100, offset=5)
    with pytest.raises(ValueError, match="expected at least 0 seconds, found -1"):
        audio.read(tmp_path / "kick.wav", 44100, offset=-1)
    with pytest.raises(ValueError, match="channels: expected mono or source, found 'left'"):
        audio.read(tmp_path / "kick.wav", 44100, channels="left")
    with pytest.raises(audio.AudioError, match=r"expected the content of the dataset, found another; run make-dataset"):
        audio.read(tmp_path / "kick.wav", 44100, sha256="0" * 64)
    with pytest.raises(audio.AudioError, match="it is a folder or a special file"):
        audio.read(tmp_path, 44100)


def test_permission_is_named(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(audio.AudioError, match=r"secret\.wav: .*found none that can be opened: Permission denied"):
        audio.read("secret.wav", 44100)


def test_a_file_that_changes_midway_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "recording.wav"
    path.write_bytes(builders.sound("WAV", seconds=0.3))
    blocks = reading._blocks

    def grow(*arguments):
        with open(path, "ab") as file:
            file.write(bytes(100))
        return blocks(*arguments)

    monkeypatch.setattr(reading, "_blocks", grow)
    with pytest.raises(audio.AudioError, match="expected a file at rest, found one that changed while it was read"):
        audio.examine(path)


def test_a_file_deleted_midway_is_read_to_its_end(tmp_path, monkeypatch):
    """The descriptor keeps the content, so that hash and samples belong together."""
    path = tmp_path / "gone.wav"
    path.write_bytes(builders.sound("WAV", seconds=0.3))
    sha256 = audio.examine(path).sha256
    decoder = reading._decoder

    def delete_and_decode(path, handle):
        os.unlink(path)
        return decoder(path, handle)

    monkeypatch.setattr(reading, "_decoder", delete_and_decode)
    assert len(audio.read(path, 44100, sha256=sha256)) == round(0.3 * 44100)


def test_read_what_write_wrote(tmp_path):
    samples = builders.tone(1)[:, 0]
    for name in ("a.wav", "b.flac", "c.aiff"):
        audio.write(tmp_path / name, samples, 44100, {"seed": 1})
        assert np.abs(audio.read(tmp_path / name, 44100) - samples).max() < 2**-15
        assert audio.read_recipe(tmp_path / name) == {"seed": 1}
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert file.getnframes() == len(samples)


@pytest.mark.parametrize("name", ["a.wav", "b.flac", "c.aiff"])
def test_stereo_is_written_read_and_played(tmp_path, name):
    samples = np.stack([builders.tone(1)[:, 0], np.linspace(-1, 1, len(builders.tone(1)))], axis=1).astype(np.float32)
    sound = audio.Sound(samples, 44100)
    assert sound.seconds == len(samples) / 44100
    assert sound.mono.shape == (len(samples),)
    np.testing.assert_allclose(sound.mono, samples.mean(axis=1), atol=1e-7)
    sound.save(tmp_path / name, bits=24)
    assert np.abs(audio.read(tmp_path / name, 44100, channels="source") - samples).max() < 2**-22
    embedded = re.search(r"base64,([^\"]+)", sound._repr_html_())[1]
    played, _ = soundfile.read(io.BytesIO(base64.b64decode(embedded)))
    assert np.abs(played - samples).max() < 2**-14


@pytest.mark.parametrize("shape", [(), (0,), (0, 2), (5, 1), (5, 3), (2, 5), (5, 2, 1)])
def test_other_shapes_are_not_written(tmp_path, shape):
    with pytest.raises(
        audio.AudioError, match=r"a\.wav: expected samples of shape \(samples,\) or \(samples, 2\), found"
    ):
        audio.write(tmp_path / "a.wav", np.zeros(shape), 44100)
    assert not list(tmp_path.iterdir())


@needs_av
def test_a_stretch_of_a_video_starts_where_asked(tmp_path):
    """Clicks half a second apart in a track are found where they are, from wherever reading starts."""
    samples = np.zeros((3 * 44100, 1), np.float32)
    samples[22050::22050] = 0.9
    path = tmp_path / "tape.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray((32767 * samples.T).astype(np.int16)), "s16", "mono")
        frame.sample_rate = 44100
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            output.mux(packet)
    assert audio.examine(path).seconds == pytest.approx(3.0, abs=0.01)
    for offset in (0.0, 0.4, 1.7, 2.2):
        found = audio.read(path, 44100, offset=offset, seconds=0.7)
        clicks = np.flatnonzero(np.abs(found) > 0.5) / 44100 + offset
        expected = [at for at in np.arange(0.5, 3, 0.5) if offset <= at < offset + 0.7]
        assert np.allclose(clicks, expected, atol=1e-3)


def test_without_pyav_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "sound.m4a").write_bytes(b"\0\0\0\x18ftypM4A " + bytes(100))
    (tmp_path / "foreign.ogg").write_bytes(builders.patched(builders.sound("WAV"), 20, b"\x60\x01"))
    for name in ("sound.m4a", "foreign.ogg"):
        with pytest.raises(audio.AudioError, match=r"expected PyAV to read this format, found none; pip install"):
            audio.read(tmp_path / name, 44100)


def test_an_ogg_in_a_wav_is_that_ogg(tmp_path):
    """From wherever reading starts, and at its full length."""
    body = builders.ogg_in_wav(1.0)
    (tmp_path / "wav.ogg").write_bytes(body)
    (tmp_path / "ogg.ogg").write_bytes(body[body.index(b"OggS") :])
    for offset in (0.0, 0.5):
        stretches = [audio.read(tmp_path / name, 44100, offset) for name in ("wav.ogg", "ogg.ogg")]
        np.testing.assert_array_equal(*stretches)
        assert len(stretches[0]) == 44100 * (1 - offset)


def test_decoders_name_their_versions():
    assert decoders.version("a.wav") == f"libsndfile {soundfile.__libsndfile_version__}"
    assert decoders.version("a.M4A") == (f"av {av.__version__}" if av else None)


@pytest.mark.parametrize(("backend", "one_by_one"), [("threading", True), ("threading", False), ("sequential", True)])
def test_other_backends_of_joblib_give_the_same(monkeypatch, backend, one_by_one):
    """Also one that cannot give its results one by one, and those whose workers are not ours to confine."""
    monkeypatch.setattr(workers.joblib.parallel.BACKENDS[backend], "supports_return_generator", one_by_one)
    with workers.joblib.parallel_config(backend):
        outcomes = list(workers.outcomes(behave, [("tell",), ("refuse",), ("stumble",)], RefusalError, chunk=2))
    assert [result is None for result, _ in outcomes] == [False, True, True]
    assert outcomes[1][1] == "refused"


def test_without_shared_memory_all_is_done_here(monkeypatch, tmp_path):
    """As with a /dev/shm that cannot be written to, where joblib has no processes."""
    backends = {name: backend for name, backend in workers.joblib.parallel.BACKENDS.items() if name != "loky"}
    monkeypatch.setattr(workers.joblib.parallel, "BACKENDS", backends)
    found = list(workers.outcomes(behave, [("tell",), ("refuse",), ("stumble",)], RefusalError, chunk=2))
    assert found[0][0][0] == os.getpid()
    assert found[1] == (None, "refused")
    assert "KeyError" in found[2][1]
    for number in range(3):
        (tmp_path / f"{number}.wav").write_bytes(builders.sound("WAV", seconds=0.2 + number / 10))
    assert len(make_dataset([tmp_path], "x", home=tmp_path / "d", progress=False).entries) == 3
