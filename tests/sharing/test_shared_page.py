"""A shared page in Chromium, without a network: its decoder beside Python's, sounds, keys, sizes and hostile names.

With VAELAB_SCREENSHOTS=DIR pictures of the pages are kept there.
"""

import shutil
import subprocess
import sys
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quickly
import soundfile
from browsing import ARGUMENTS, CHROMIUM, MINUTE, barriers, keep

from vaelab import SoundSampleTool, spectral, texture
from vaelab import model as models
from vaelab.audio import synth
from vaelab.config import AudioConfig
from vaelab.library import umap_map
from vaelab.models import checkpoint
from vaelab.sharing import decoder, html, share

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: install Debian's package `chromium`"),
]
HOSTILE = {
    "<img src=x onerror=alert(1)>": "<img src=x onerror=alert(1)>",
    'a"quote\'s" & {{DATA}}': 'a"quote\'s" & {{DATA}}',
    "<∕script><script>alert(1)": "<∕script><script>alert(1)",
    "\u202egpj": "'\\u202egpj'",  # unprintable: shown by its number
    "\U0001f941 drum": "\U0001f941 drum",
    "שלום": "שלום",
}
# The page's decoder on latents, one after the other.
DECODED = """async (latents) => {
    const answers = [], own = worker.onmessage;
    worker.onmessage = null;
    for (const z of latents) {
        worker.postMessage({ turn: -1, z });
        const { data } = await new Promise((done) => worker.addEventListener("message", done, { once: true }));
        answers.push({ features: [...data.features], samples: [...data.samples], ms: data.ms });
    }
    worker.onmessage = own;
    return answers;
}"""
# Scripts of the page beside Python, on samples and features.
COMPUTED = """([numbers, tables, samples, features]) => {
    const front = new FrontEnd(numbers, tables);
    const spectrum = front.stft(samples);
    const before = { re: spectrum.re.slice(), im: spectrum.im.slice() };
    const again = front.istft(spectrum);
    const measured = front.features(spectrum);
    front.equalise(spectrum, Float32Array.from(features, (value) => 20 * value - 5));
    const level = Float32Array.from(features);
    return {
        re: [...before.re], im: [...before.im], again: [...again], features: [...measured.features],
        level: measured.level, equalised: [...spectrum.re], magnitudes: [...magnitudes(front, level)],
        share: [...tonalShare(front, level)], onset: onset(front, level), played: [...synthesise(front, level)],
    };
}"""
FFT = """(size) => {
    const [re, im] = [0, 1].map((part) => Float64Array.from({ length: size }, (_, at) => Math.cos(at * at + part)));
    new Fft(size).transform(re, im);
    return [[...re], [...im]];
}"""


@contextmanager
def shown(path, width=1280, height=900, scheme="light"):
    """A page from its file, without a network; `requests` and `broken` gather what it asks for and what fails."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, offline=True, has_touch=width < 500
        )
        page = context.new_page()
        page.requests, page.broken = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("pageerror", lambda error: page.broken.append(str(error)))
        page.on("console", lambda message: page.broken.append(message.text) if message.type == "error" else None)
        page.on("dialog", lambda dialog: page.broken.append(dialog.message))
        page.goto(path.as_uri())
        page.locator("body[data-ready]").wait_for(timeout=MINUTE)
        yield page
        browser.close()


def asks_for_nothing(page, path):
    assert [url for url in page.requests if not url.startswith(("blob:", "data:"))] == [path.as_uri()]
    assert page.broken == []


def plays(page):
    return int(page.evaluate("document.body.dataset.plays ?? 0"))


def until_heard(page, before):
    """Wait for the next sound; milliseconds from asking for it to its start. The page's policy allows no eval."""
    for _ in range(4000):
        if plays(page) > before:
            return float(page.evaluate("document.body.dataset.ms"))
        page.wait_for_timeout(5)
    pytest.fail("no sound within 20 s")


def heard(page, act):
    before = plays(page)
    act()
    return until_heard(page, before)


@pytest.fixture(scope="module")
def built_in(tmp_path_factory):
    """The page that the command makes of the sounds of `vaelab synth`, and the tool that it is of."""
    folder = tmp_path_factory.mktemp("built in")
    synth.write_dataset(folder / "Built-in sounds", progress=False)
    command = [sys.executable, "-m", "vaelab.cli", "share", "--model", "industrial", "--library-dir", "Built-in sounds"]
    finished = subprocess.run(
        [*command, "--out", "instrument.html"], cwd=folder, env=quickly.as_users(), capture_output=True, text=True
    )
    print(finished.stdout)
    assert finished.returncode == 0, finished.stderr
    tool = SoundSampleTool("industrial", folder / "Built-in sounds", home=folder / "datasets", progress=False)
    return folder / "instrument.html", tool


def test_built_in_page(built_in):
    """At most 10 MB, no request; features within a level of Python's; sounds as alike as two of Python's noise."""
    path, tool = built_in
    assert path.stat().st_size <= 10_000_000
    z = np.asarray(tool.library.embeddings[::29])
    with shown(path) as page:
        answers = page.evaluate(DECODED, z.astype(float).tolist())
        clicks = [heard(page, lambda at=at: click_point(page, at)) for at in range(0, len(tool.library), 13)]
        near = page.evaluate(
            "(z) => nearTo(compared, probed(z, latentSize, arrays.probe), 6)", z[3].astype(float).tolist()
        )
        places = [heard(page, lambda at=at: page.evaluate("at => playPlace(at)", at)) for at in between(page, 12)]
        keep(page, "shared")
        asks_for_nothing(page, path)
    assert near == tool.library.search(z[3], 6)[0].tolist()
    features = np.asarray(tool.model.decode(jnp.asarray(z), headroom=True))
    difference = 255 * np.abs(np.array([answer["features"] for answer in answers]).reshape(features.shape) - features)
    print(f"features: {difference.mean():.4f} levels apart in the mean, {difference.max():.3f} at most")
    assert difference.mean() < 1
    ours = mel(np.stack([sound.samples for sound in tool.decode(z)]), tool)
    samples = [np.array(answer["samples"], np.float32) for answer in answers]
    theirs = mel(np.stack([spectral.fit_length(part, tool.model.audio) for part in samples]), tool)
    loud = features > spectral.AUDIBLE
    apart, python, browser = (
        80 * np.abs(one - two)[loud].mean() for one, two in ((theirs, ours), (ours, features), (theirs, features))
    )
    print(
        f"sounds, where audible: {apart:.2f} dB apart; off the features Python {python:.2f} dB, page {browser:.2f} dB"
    )
    assert browser < python + 0.5
    assert apart < 3
    for name, waits in {"click to sound": clicks, "place to decoded sound": places}.items():
        print(f"{name}: median {np.median(waits):.0f} ms, 95 % below {np.percentile(waits, 95):.0f} ms")
    assert np.percentile(clicks, 95) < 500  # on a busy machine too; 100 on a quiet one


def mel(samples, tool):
    return np.asarray(spectral.mel(jnp.asarray(samples), tool.model.audio)[0])


def click_point(page, index):
    """Click on the canvas where a point is; another may lie over it."""
    box = page.locator("#map").bounding_box()
    x, y = page.evaluate("index => plane.pointAt(index)", index)
    page.mouse.click(box["x"] + x, box["y"] + y)


def between(page, count):
    points = np.array(page.evaluate("[...points]")).reshape(-1, 2)
    return [((points[turn] + points[-turn - 1]) / 2).tolist() for turn in range(count)]


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (360, "dark"), (800, "light"), (1600, "dark")])
def test_page_at_any_width(built_in, width, scheme):
    path, _ = built_in
    with shown(path, width, 800, scheme) as page:
        heard(page, lambda: click_point(page, 5))
        assert barriers(page, "html") == []
        page.locator("summary").first.click()
        assert page.get_by_text("built-in: free of rights").first.is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        sizes = page.evaluate("[...document.querySelectorAll('button')].map((button) => button.offsetHeight)")
        assert min(sizes) >= 40
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, dark[4:-1].split(","))) < 200) == (scheme == "dark")
        keep(page, f"shared_{width}_{scheme}")
        asks_for_nothing(page, path)


@pytest.fixture(scope="module")
def small(tmp_path_factory, sounds, tiny):
    """A folder with a tiny model and a few sounds, some with hostile names; and the tool."""
    folder = tmp_path_factory.mktemp("small")
    shutil.copytree(sounds, folder / "own")
    (folder / "own" / "field").mkdir()
    for turn, name in enumerate(HOSTILE):
        samples = np.random.default_rng(turn).normal(0, 0.1, 3000)
        soundfile.write(folder / "own" / "field" / f"{name}.wav", samples, 8000)
    checkpoint.save_model(folder / "m.safetensors", models.create(tiny.model, tiny.audio, jax.random.key(0)), {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(umap_map, "fit_umap", lambda embeddings, *_: np.ascontiguousarray(embeddings[:, :2]))
        yield folder, SoundSampleTool(folder / "m.safetensors", folder / "own", home=folder / "home", progress=False)


def test_hostile_names_are_text(small):
    folder, tool = small
    path = share(tool, folder / "hostile.html", sounds="real", title="<b>T</b>", progress=False).path
    with shown(path) as page:
        names = page.evaluate("data.names")
        for shown_name in HOSTILE.values():
            index = next(at for at, name in enumerate(names) if shown_name.strip("'") in name)
            heard(page, lambda index=index: page.evaluate("index => playPoint(index)", index))
            page.wait_for_timeout(50)
            assert shown_name.strip("'") in page.locator("#name").inner_text()
            x, y = page.evaluate("index => plane.pointAt(index)", index)
            page.evaluate("([index, x, y]) => showTip(index, x, y)", [index, x, y])
            assert page.locator("#tip").inner_text() == names[index]
        assert page.locator("#title").inner_text() == "<b>T</b>"
        page.locator("summary").first.click()
        keep(page, "shared_hostile")
        assert page.locator("img, b").count() == 0
        asks_for_nothing(page, path)


def test_keys_alone(small):
    folder, tool = small
    path = share(tool, folder / "keys.html", sounds="real", progress=False).path
    with shown(path) as page:
        assert page.locator("#play").is_disabled()
        page.locator("#map").focus()
        seen = set()
        for key in ["ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp", *["PageDown"] * len(tool.library)]:
            page.keyboard.press(key)
            current = page.evaluate("plane.current")
            seen.add(current)
            assert page.locator("#said").text_content() == page.evaluate("data.names")[current]
        assert seen == set(range(len(tool.library)))
        heard(page, lambda: page.keyboard.press("Space"))
        page.keyboard.press("Tab")
        heard(page, lambda: (page.locator("#near button").first.focus(), page.keyboard.press("Enter")))
        page.locator("#map").focus()
        for key in ("+", "+", "-", "0"):
            page.keyboard.press(key)
        assert page.evaluate("plane.zoomed") == 1
        asks_for_nothing(page, path)


def test_sounds_that_are_not_in_it_are_decoded(small):
    folder, tool = small
    path = share(tool, folder / "none.html", sounds="none", progress=False).path
    with shown(path) as page:
        heard(page, lambda: click_point(page, 3))
        page.wait_for_timeout(50)
        assert "as the model plays it" in page.locator("#kind").inner_text()
        assert page.locator("#which").is_hidden()
        place = page.evaluate("[points[0] / 2 + points[2] / 2, points[1] / 2 + points[3] / 2]")
        z = page.evaluate("place => [...latentAt(points, arrays.latents, latentSize, place)]", place)
        points = np.array(page.evaluate("[...points]")).reshape(-1, 2)
        expected, _ = umap_map.latent_at(points, tool.library.embeddings, place)
        assert np.allclose(z, expected, atol=0.02)
        asks_for_nothing(page, path)


def test_a_grid_plays(small, monkeypatch):
    folder, tool = small
    monkeypatch.setattr(decoder, "obstacle", lambda model: "it is only tried")
    path = share(tool, folder / "grid.html", sounds="made", megabytes=1, progress=False).path
    with shown(path) as page:
        assert "played beforehand, since it is only tried" in page.locator("#how").inner_text()
        heard(page, lambda: page.evaluate("() => playPlace([points[0], points[1] + 0.1])"))
        page.wait_for_timeout(50)
        assert "the nearest place" in page.locator("#kind").inner_text()
        assert page.locator("#near button").count() == 6
        left_out = page.evaluate("data.sounds.indexOf(null)")
        heard(page, lambda: page.evaluate("index => playPoint(index)", left_out))
        keep(page, "shared_grid")
        asks_for_nothing(page, path)


@pytest.fixture(scope="module")
def scripts():
    """A page with the scripts of the decoder's thread."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page()
        for name in html.WORKER[:-1]:
            page.add_script_tag(path=html.STATIC / f"{name}.js")
        yield page
        browser.close()


@pytest.mark.parametrize("size", [2, 8, 256, 2048])
def test_fft(scripts, size):
    at = np.arange(size)
    re, im = scripts.evaluate(FFT, size)
    expected = np.fft.fft(np.cos(at * at) + 1j * np.cos(at * at + 1))
    np.testing.assert_allclose(np.array(re) + 1j * np.array(im), expected, atol=1e-9 * size)


def test_fft_of_another_size_is_refused(scripts):
    with pytest.raises(Exception, match="expected a power of two, found 12"):
        scripts.evaluate("() => new Fft(12)")


@pytest.mark.parametrize(
    "config",
    [
        AudioConfig(sample_rate=8000, clip_seconds=0.5, n_fft=256, hop_length=128, n_mels=24),
        AudioConfig(sample_rate=16000, clip_seconds=0.61, n_fft=1024, hop_length=200, n_mels=40, top_db=60.0),
        AudioConfig(sample_rate=44100, clip_seconds=0.3, n_mels=128),
    ],
    ids=["even", "odd", "default"],
)
def test_scripts_compute_what_python_does(scripts, config):
    """Tables, spectra, features, gains, magnitudes, tonal shares and onsets; and the sound by its features."""
    numbers, tables = decoder.front_end(config)
    samples = clip(config)
    features, level = spectral.mel(samples[None], config)
    spectrum = np.asarray(spectral.stft(samples[None], config))
    arguments = [numbers, {name: table.tolist() for name, table in tables.items()}]
    flat = np.asarray(features).ravel().astype(float).tolist()
    answer = scripts.evaluate(COMPUTED, [*arguments, samples.astype(float).tolist(), flat])
    close(np.array(answer["re"]) + 1j * np.array(answer["im"]), spectrum, 1e-3)
    close(answer["again"], spectral.istft(spectrum, config), 1e-4)
    close(answer["features"], features, 1e-3)
    assert answer["level"] == pytest.approx(float(level[0]), abs=1e-3)
    close(answer["equalised"], spectral.equalise(spectrum, 20 * features - 5, config).real, 2e-2)
    expected = spectral.magnitudes(features, spectral.filterbank(config), config, spectral.MEL_UPDATES)
    close(answer["magnitudes"], expected, 2e-3)
    close(answer["share"], np.clip(texture.tonal_share(features, config), 0.001, 0.999), 1e-3)
    assert abs(answer["onset"] - int(texture.onsets(features, config)[0])) <= 1
    played = np.array(answer["played"], np.float32)
    python = np.asarray(texture.synthesise(features, config))
    loud = np.asarray(features) > spectral.AUDIBLE
    errors = [
        np.abs(np.asarray(spectral.mel(part, config)[0]) - features)[loud].mean() for part in (played[None], python)
    ]
    assert errors[0] < errors[1] + 0.01


def close(answer, expected, tolerance):
    expected = np.asarray(expected)
    np.testing.assert_allclose(np.array(answer).reshape(expected.shape), expected, atol=tolerance)


def clip(config):
    """A tone and noise that begin after a while."""
    time = np.arange(config.samples) / config.sample_rate
    noise = np.random.default_rng(0).normal(0, 0.05, config.samples)
    late = time > 0.1
    return (late * np.exp(-8 * np.maximum(time - 0.1, 0)) * (0.5 * np.sin(2 * np.pi * 500 * time) + noise)).astype(
        np.float32
    )
