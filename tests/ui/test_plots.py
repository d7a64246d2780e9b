"""Every picture names its axes with units, and draws what names say as they say it."""

import numpy as np
import pytest
from conftest import TINY_AUDIO as AUDIO
from matplotlib.colors import to_hex
from matplotlib.text import Text

from vaelab import slicing
from vaelab.audio import Sound
from vaelab.data import Dataset, Entry
from vaelab.ui import plots
from vaelab.ui.mapview import MapView

HOSTILE = ["$x$", "two\nlines", "_hidden", "太鼓 \x07", r"a\b $1 \$", "long " * 40, "\udcff not UTF-8"]
FEATURES = np.random.default_rng(0).random((len(HOSTILE), AUDIO.frames, AUDIO.n_mels))
HISTORY = [{"step": 5, "train_loss": 3.0, "loss": 2.5, "error_db": 5.0, "audible_db": 9.0}]

HEARD = slicing.BandLevels(np.full((8000, slicing.BANDS), -60, np.float16), 0.005, 40.0, 8000)


def found(labels):
    entries = [
        Entry(f"{number}.wav", 0, f"{number:064d}", 0.5 + number, label, side)
        for number, (label, side) in enumerate((label, side) for label in labels for side in ("train", "validation"))
    ]
    return Dataset("test", ("/nowhere",), tuple(entries), ())


PICTURES = {
    "dataset": lambda names: plots.dataset(found([*names, None])),
    "dataset and a clip": lambda names: plots.dataset(found(names), 1.5),
    "dataset without classes": lambda names: plots.dataset(found([None])),
    "training_curves": lambda names: plots.training_curves(HISTORY),
    "confusion": lambda names: plots.confusion(np.eye(len(names), dtype=int), names),
    "spectrograms": lambda names: plots.spectrograms(FEATURES[: len(names)], AUDIO, names),
    "pairs": lambda names: plots.pairs(FEATURES[: len(names)], FEATURES[: len(names)], AUDIO, names),
    "sound": lambda names: plots.sound(Sound(np.zeros(4000, np.float32), 8000), FEATURES[0], AUDIO),
    "a sound in stereo": lambda names: plots.sound(Sound(np.zeros((4000, 2), np.float32), 8000), FEATURES[0], AUDIO),
    "tape": lambda names: plots.tape(HEARD, [(0.2, 0.5), (1.0, 1.4)]),
    "a long tape": lambda names: plots.tape(HEARD._replace(hop_s=0.5), [(20, 50)]),
    "tapes": lambda names: plots.tapes(dict.fromkeys(names, HEARD), [(0.2, 0.5)]),
    "flow": lambda names: plots.flow(FEATURES[:3], (1, 4)),
    "latent_map": lambda names: plots.latent_map(FEATURES[: len(names) + 1, 0, :2], [*names, None][: len(FEATURES)]),
}
NAMES = pytest.mark.parametrize("names", [["kick", "snare", "tom"], HOSTILE], ids=["plain", "hostile"])


def labelled(figure):
    """Whether every visible axis, or else the figure for all of them, has a name."""
    shown = [ax for ax in figure.axes if ax.get_visible()]
    across = figure.get_supxlabel() or all(
        ax.get_xlabel() or ax.get_label() == "<colorbar>" or not ax.xaxis.get_tick_params()["labelbottom"]
        for ax in shown
    )
    upwards = figure.get_supylabel() or all(
        ax.get_ylabel() or not ax.yaxis.get_tick_params().get("labelleft", True) for ax in shown
    )
    return bool(across and upwards)


@NAMES
@pytest.mark.parametrize("name", PICTURES)
def test_is_drawn_with_labelled_axes(name, names):
    figure = PICTURES[name](names)
    assert figure._repr_png_().startswith(b"\x89PNG")  # a missing glyph or a bad formula would warn or raise
    assert labelled(figure)


@pytest.mark.parametrize("name", ["confusion", "spectrograms", "pairs", "tapes", "latent_map", "dataset"])
def test_names_are_text_and_all_of_them_appear(name):
    figure = PICTURES[name](HOSTILE)
    figure.draw_without_rendering()
    drawn = [text for text in figure.findobj(Text) if text.get_text()]
    assert not any(text._preprocess_math(text.get_text())[1] for text in drawn)  # what it draws, and whether as maths
    shown = {text._preprocess_math(text.get_text())[0] for text in drawn}
    assert {"$x$", "'two\\nlines'", "_hidden", r"a\b $1 \$"} <= shown
    assert max(len(line) for text in shown for line in text.splitlines()) <= 40


def test_a_figure_is_its_own():
    from matplotlib import pyplot

    PICTURES["training_curves"](HOSTILE)
    assert pyplot.get_fignums() == []


def test_a_flow_that_turns_a_cloud_shows():
    """Pairs are counted by their correlation, before and after; ticks of the cloud do not collide."""
    before = np.random.default_rng(0).standard_normal((500, 3))
    after = np.stack([before[:, 0], 0.1 * before[:, 0], before[:, 2]], axis=1)
    cloud, counts = plots.flow(np.stack([before, after]), (0, 1)).axes
    assert [text.get_text() for text in cloud.get_legend().get_texts()] == [
        f"before the flow: correlation {np.corrcoef(before.T)[0, 1]:.2f}",
        "after the flow: correlation 1.00",
    ]
    first, last = (patch.get_data().values for patch in counts.patches)
    assert first.sum() == last.sum() == 3
    assert (first[-1], last[-1]) == (0, 1)
    assert max(len(cloud.get_xticks()), len(cloud.get_yticks())) <= 8


def test_a_cloud_is_drawn_in_its_deviations_before_the_flow():
    """Latents of other scales, of which the flow halves one, are a circle and a flat ellipse; axes are equally long."""
    before = np.random.default_rng(0).standard_normal((500, 2)) * [0.01, 100]
    cloud, counts = plots.flow(np.stack([before, before * [1, 0.5]]), (0, 1)).axes
    first, last = (points.get_offsets().std(axis=0) for points in cloud.collections)
    np.testing.assert_allclose(first, [1, 1], rtol=1e-6)
    np.testing.assert_allclose(last, [1, 0.5], rtol=1e-6)
    assert counts.get_xlim()[1] < 0.5  # no correlation is larger
    assert len(counts.get_xticks()) <= 7  # else they collide
    assert "logarithmic" in counts.get_ylabel()


def test_correlations_by_chance():
    """Of independent latents, about one pair exceeds the line."""
    draws = np.random.default_rng(0).standard_normal((2, 1000, 60))
    counts = plots.flow(draws, (0, 1)).axes[1]
    (label,) = (text.get_text() for text in counts.get_legend().get_texts() if "chance" in text.get_text())
    chance = float(label.split()[-1])
    correlations = np.abs(np.corrcoef(draws[0], rowvar=False)[np.triu_indices(60, 1)])
    assert (correlations > chance).sum() <= 4
    assert correlations.max() > 0.8 * chance


def test_curves_mark_the_lowest_error():
    history = [{"step": step, "train_loss": 3.0, "loss": 2.0, "audible_db": abs(step - 20)} for step in (5, 21, 40)]
    error, _ = plots.training_curves(history).axes
    assert [text.get_text() for text in error.get_legend().get_texts()] == ["lowest: 1.00 dB at step 21"]
    low, high = plots.training_curves([{**each, "audible_db": 3.8} for each in history]).axes[0].get_ylim()
    assert (low, high) == pytest.approx((3.55, 4.05))  # what nobody hears looks like nothing
    unmeasured = [{"step": 5, "train_loss": 3.0, "loss": 2.0}]
    assert plots.training_curves(unmeasured).axes[0].get_legend() is None


@pytest.mark.parametrize(
    ("counts", "title"),
    [
        ([2, 2], "4 sounds, 2 of a class:\nexamples rather than rates"),
        ([3, 0], "3 sounds, 3 of a class:\nexamples rather than rates"),
        ([30, 10], "40 sounds, 10 to 30 of a class"),
        ([0, 0], "no sounds"),
    ],
)
def test_a_confusion_matrix_of_few_sounds_says_so(counts, title):
    assert plots.confusion(np.diag(counts), ["a", "b"]).get_suptitle() == title


def test_durations_show_how_many_sounds_are_cut():
    figure = plots.dataset(found(["a", "b", "c"]), 2.5)  # of 0.5 to 5.5 s
    assert [text.get_text() for text in figure.legends[0].get_texts()][-1] == "a model receives 2.5 s; longer: 3"
    figure.draw_without_rendering()
    durations = figure.axes[1].xaxis
    labels = (*durations.get_ticklabels(), *durations.get_ticklabels(minor=True))
    low, high = durations.get_view_interval()
    shown = [label.get_text() for label in labels if low <= label.get_position()[0] <= high]  # others are not drawn
    assert {"0.5", "1", "2", "5"} <= set(shown) <= {"", "0.1", "0.2", "0.5", "1", "2", "5", "10", "20", "50"}


def quiet_after(seconds):
    """Features that are audible up to a time."""
    features = np.zeros((AUDIO.frames, AUDIO.n_mels))
    features[: round(seconds / AUDIO.clip_seconds * AUDIO.frames)] = 1
    return features


def test_time_ends_with_the_sounds():
    features = np.stack([quiet_after(0.25), quiet_after(0.12)])
    together, apart = (plots.spectrograms(features, AUDIO, ["a", "b"], own_time=own) for own in (False, True))
    assert [figure.axes[1].get_xlim() for figure in (together, apart)] == [(0, 0.3), (0, 0.15)]
    whole = plots.spectrograms(np.ones((1, AUDIO.frames, AUDIO.n_mels)), AUDIO, ["a"])
    silent = plots.spectrograms(np.zeros((1, AUDIO.frames, AUDIO.n_mels)), AUDIO, ["a"])
    assert whole.axes[0].get_xlim() == silent.axes[0].get_xlim() == (0, AUDIO.clip_seconds)


def test_a_long_title_has_its_folder_above_it():
    figure = plots.spectrograms(FEATURES[:2], AUDIO, ["a long folder/and a name", "short/name"])
    assert [figure.axes[place].get_title() for place in (0, 1)] == ["a long folder/\nand a name", "short/name"]


def test_pairs_stand_above_each_other():
    """In rows of so many; both of a pair end together."""
    quiet = np.stack([quiet_after(0.25), quiet_after(0.12), quiet_after(0.12)])
    figure = plots.pairs(quiet, 1 - FEATURES[:3], AUDIO, ["a", "b", "c"], columns=2)
    upper, lower = (figure.axes[place].images[0].get_array() for place in (1, 3))
    np.testing.assert_allclose(upper, (quiet[1].T - 1) * AUDIO.top_db)
    np.testing.assert_allclose(lower, -FEATURES[1].T * AUDIO.top_db)
    assert figure.axes[1].get_xlim() == figure.axes[3].get_xlim()
    assert [figure.axes[place].get_ylabel() for place in (0, 2, 4, 6)] == ["original", "model"] * 2
    assert [figure.axes[place].get_title() for place in (0, 1, 4)] == ["a", "b", "c"]
    assert not figure.axes[5].get_visible()


def test_a_frequency_tick_stands_at_the_band_that_hears_it():
    from vaelab import spectral

    figure = plots.spectrograms(FEATURES[:1], AUDIO, [""])
    ticks = dict(
        zip((label.get_text() for label in figure.axes[0].get_yticklabels()), figure.axes[0].get_yticks(), strict=True)
    )
    tone = np.sin(2 * np.pi * 1000 * np.arange(AUDIO.samples) / AUDIO.sample_rate).astype(np.float32)
    heard, _ = spectral.mel(tone[None], AUDIO)
    assert abs(ticks["1k"] - 0.5 - int(np.asarray(heard)[0].mean(axis=0).argmax())) <= 1


def test_sounds_without_class_are_on_the_map():
    figure = plots.latent_map(FEATURES[:3, 0, :2], ["kick", None, None])
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == [plots.NO_LABEL, "kick"]
    assert sum(len(points.get_offsets()) for points in figure.axes[0].collections) == 3


def test_the_map_has_the_colours_of_the_map_to_play_on():
    names = [f"kind {number:02}" for number in range(20)]
    picture, view = plots.latent_map(np.random.default_rng(0).random((20, 2)), names), MapView(np.zeros((20, 2)), names)
    view.colour(names)
    drawn = [to_hex(points.get_facecolor()[0]) for points in picture.axes[0].collections]
    assert drawn == [light for light, _, _ in view.palette[1:-1]]
    assert len(picture.axes[0].get_xticks()) == 0


def test_names_of_regions_do_not_meet():
    rng = np.random.default_rng(0)
    names = np.repeat(["$a$ " * 5, "b" * 20, "c"], 20)
    places = rng.normal(size=(60, 2)) * 0.1 + np.repeat([[0, 0], [0.3, 0], [9, 9]], 20, axis=0)
    figure = plots.latent_map(places, names.tolist())
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 2
    assert not boxes[0].overlaps(boxes[1])


def test_a_tape_is_drawn_where_it_sounds():
    """Column by column: a sound is in the picture at its time, also where columns hold no whole number of frames."""
    levels = HEARD.levels.copy()
    levels[[1000, 4000, 7000]] = -10
    image = plots.tape(HEARD._replace(levels=levels), []).axes[1].images[0]
    columns = np.flatnonzero(image.get_array().max(axis=0) > -20)
    left, right, _, _ = image.get_extent()
    seconds = left + (columns + 0.5) / image.get_array().shape[1] * (right - left)
    np.testing.assert_allclose(seconds, [5, 20, 35], atol=0.02)


@pytest.mark.parametrize(("count", "lines"), [(60, 60), (61, 0)])
def test_many_segments_leave_a_tape_visible(count, lines):
    """All are shaded; lines where they begin stand only where they do not hide what is below."""
    starts = np.linspace(0, 39, count)
    top, _, _ = plots.tape(HEARD, [(start, start + 0.5) for start in starts]).axes
    drawn = {type(part).__name__: len(part.get_paths()) for part in top.collections[1:]}
    assert drawn == {"PolyCollection": count, **({"LineCollection": lines} if lines else {})}
    assert top.get_ylim()[1] == pytest.approx(0.05)  # of a quiet tape


def test_a_tape_has_frequencies_and_round_times():
    _, spectrum, _ = plots.tape(HEARD._replace(hop_s=0.05, seconds=400.0), [], title="$x$ whole").axes
    spectrum.figure.draw_without_rendering()
    assert spectrum.figure.get_suptitle() == r"\$x\$ whole"
    assert [label.get_text() for label in spectrum.get_yticklabels()] == ["200", "1k", "3k"]
    shown = [label.get_text() for label in spectrum.get_xticklabels()]
    assert {"00:01:00", "00:02:00", "00:06:00"} <= set(shown)


def test_tapes_share_time_and_scale():
    figure = plots.tapes({"the tape": HEARD, "its copy": HEARD._replace(seconds=20.0)}, [(1.0, 2.0)])
    first, second = figure.axes[:2]
    assert [axes.get_title(loc="left") for axes in (first, second)] == ["the tape", "its copy"]
    assert first.get_xlim() == second.get_xlim() == (0, 40)
    assert second.images[0].get_extent()[1] == 20


@pytest.mark.parametrize(("count", "named"), [(5, 5), (120, 120), (144, 144), (400, 144)])
def test_the_legend_of_a_map_stays_in_the_picture(count, named):
    """In columns, so that all of 120 folders are named; the last line counts those of 400 that are not."""
    labels = [f"a folder {number:03d}" for number in range(count)]
    figure = plots.latent_map(np.random.default_rng(0).standard_normal((count, 2)), labels)
    figure.draw_without_rendering()
    legend = figure.axes[0].get_legend()
    texts = [text.get_text() for text in legend.get_texts()]
    assert len(texts) == named
    assert texts[-1] == ("and 257 more" if count == 400 else labels[-1])
    assert legend.get_window_extent().y0 >= 0
    assert legend.get_window_extent().x1 <= figure.bbox.x1
    assert figure.axes[0].get_window_extent().width > 300
