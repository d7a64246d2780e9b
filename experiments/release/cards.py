"""Cards of shipped models: what each is, from which sounds, how good, what for, and how to make it again."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments.common import results
from experiments.common.recipes import RECIPES
from experiments.common.tables import as_markdown
from vaelab.models import checkpoint

# As Debian's copyright files of the two packages have them.
LICENCES = {
    "hydrogen": (
        "Hydrogen's drum kits (Debian's `hydrogen-drumkits`)",
        (
            ("Audiophob", "Audiophob", "CC0"),
            ("BJA_Pacific", "Luc Tanguay, Bransin James Anderson", "CC BY-SA 3.0 US"),
            ("circAfrique v4", "Jim Harney", "CC BY-SA 3.0"),
            ("ColomboAcousticDrumkit", "Marcos Guglielmetti", "GPL 2 or later, free in compositions"),
            ("ElectricEmpireKit, HardElectro1, VariBreaks", "Artemiy Pavlov", "GPL 2 or later"),
            ("ForzeeStereo", "Vladimir Sadovnikov, Alexander Belokurov", "GPL 2"),
            ("Gimme A Hand 1.0, The Black Pearl 1.0", "Glen MacArthur", "GPL 2"),
            ("Millo-Drums_v.1, Millo_MultiLayered2, Millo_MultiLayered3", "Emiliano Grilli", "GPL 2"),
            ("rumpf_kit_z01_h2", "Emanuel Rumpf", "CC BY 3.0"),
        ),
    ),
    "sonic_pi": (
        "Sonic Pi's samples (Debian's `sonic-pi-samples`)",
        (("all", "many, named in the package", "CC0"),),
    ),
    "fluid": (
        "The sound font FluidR3 GM (Debian's `fluid-soundfont-gm`)",
        (("all", "Frank Wen and those whom the package names", "MIT"),),
    ),
    "ktuberling": (
        "Words of KTuberling (Debian's `ktuberling-data`)",
        (("Catalan, Danish, English, French, Lithuanian, Russian", "KDE's translators", "GPL 2 or later"),),
    ),
    "built_in": (
        "Built-in sounds (`vaelab.audio.synth`, `vaelab.audio.built_in_tape`)",
        (("all", "vaelab", "free of rights"),),
    ),
}
FLOW = (
    "moves and narrows posteriors, hardly tilts or bends them (notebook 06, `python -m experiments.quality.run flow`)"
)
SCORES = ("balanced_accuracy", "macro_f1", "accuracy")
NO_SOUNDS = (
    "The file contains no sounds, but a model of few sounds reproduces them well: its reconstruction of a training "
    "sound is close to the original (`tool.how_new` says how close). Whether the licences of sounds apply to the "
    "weights of a model is legally unsettled; to be sure, train on sounds of your own.\n"
)


def card(path: Path) -> str:
    """The card of a model that `experiments.release.pretrain` made, as Markdown."""
    meta, name = checkpoint.load_model(path)[1], path.stem
    recipe, facts, labels = RECIPES[name], meta["card"], meta["model"]["labels"]
    lines = [
        f"# {name}\n",
        f"{recipe.about}\n",
        f"For: {recipe.use}\n",
        f"Limits: {recipe.limits}\n",
        *as_markdown(("", ""), _facts(meta, path.stat().st_size)),
        "\n## Sounds\n",
        *_licences(recipe.sounds),
        f"\n{NO_SOUNDS}",
        f"Held out: {recipe.split}\n",
        "## Quality on held-out sounds\n",
        *as_markdown(("", ""), _measured(facts, [label for label, _ in labels])),
    ]
    for label, names in labels:
        lines += [
            f"\nNumbers of held-out sounds by true {label} (rows) and predicted {label} (columns):\n",
            *_matrix(names, facts["confusion"][label]),
        ]
    for result in recipe.results:
        lines += ["", *_result(result)]
    lines += ["\n## Make it again\n", f"    python -m experiments.release.pretrain {name}\n"]
    return "\n".join(lines)


def _facts(meta: dict[str, Any], size: int) -> list[tuple[str, str]]:
    facts, model, audio = meta["card"], meta["model"], meta["audio"]
    versions = ", ".join(f"{name} {version}" for name, version in meta["versions"].items())
    return [
        (
            "sounds",
            f"{facts['sounds'][0]} to train on, {facts['sounds'][1]} held out (data {facts['data']})",
        ),
        ("clips", f"{audio['clip_seconds']:g} s at {audio['sample_rate']} Hz, {audio['n_mels']} mel bands"),
        ("model", f"{model['latent_dim']} latents, {model['components']} components, {model['flow_steps']} flow steps"),
        *([("flow", FLOW)] if model["flow_steps"] else []),
        ("file", f"{size / 1e6:.1f} MB, half precision"),
        (
            "training",
            f"{facts['seconds']:.0f} s, best after {facts['step']} steps, on {facts['device']}, {facts['cores']} cores",
        ),
        ("made with", versions),
    ]


def _measured(facts: dict[str, Any], labels: Sequence[str]) -> list[tuple[str, str]]:
    metrics, latents = facts["metrics"], facts["latents"]
    rows = [
        ("-ELBO", f"{metrics['recon'] + metrics['kl']:.0f} nats, {metrics['bits_per_dim']:.3f} bits per dimension"),
        ("KL", f"{metrics['kl']:.0f} nats, {latents['active']} of {latents['of']} latents active"),
        ("mean error of the features", f"{metrics['error_db']:.2f} dB; {metrics['audible_db']:.2f} dB where audible"),
    ]
    for label in labels:
        rows += [(f"{label}, {name.replace('_', ' ')}", f"{metrics[f'{label}_{name}']:.2f}") for name in SCORES]
    return rows


def _licences(sounds: Sequence[str]) -> list[str]:
    rows = [(title, *row) for key in sounds for title, kits in [LICENCES[key]] for row in kits]
    return as_markdown(("collection", "sounds", "author", "licence"), rows)


def _result(name: str) -> Iterator[str]:
    """The table of a result, with its command."""
    result = results.read(name)
    yield f"`{result['command']}`:\n"
    yield from as_markdown(result["columns"], [[_cell(value) for value in row] for row in result["rows"]])
    yield f"\n{result['note'][0].upper()}{result['note'][1:].rstrip('.')}."
    for method, matrix in result.get("confusion", {}).items():
        if method.startswith("vaelab"):
            yield f"\nNumbers of sounds by true class (rows) and class predicted by {method} (columns):\n"
            yield from _matrix(result["classes"], matrix)


def _matrix(names: Sequence[str], counts: Sequence[Sequence[int]]) -> list[str]:
    return as_markdown(("", *names), [(name, *map(str, row)) for name, row in zip(names, counts, strict=True)])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
