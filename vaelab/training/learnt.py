"""The sounds that a run learns from, and what has changed among them since it was trained last."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vaelab import files
from vaelab.data import Dataset

FILE = "dataset.json"


@dataclass(frozen=True)
class LearntSounds:
    """The sounds of a run, kept beside its states."""

    sounds: Mapping[str, tuple[str, str | None]]  # side and class by content hash

    @cached_property
    def digest(self) -> str:
        """A hash of all, in whatever order."""
        lines = sorted(f"{sha256} {side} {label!r}" for sha256, (side, label) in self.sounds.items())
        return hashlib.sha256("\n".join(lines).encode("ascii", "backslashreplace")).hexdigest()

    def since(self, earlier: "LearntSounds | None") -> str:
        """The changes since an earlier state, in words."""
        if earlier is None:
            return f"{len(self.sounds)} sounds now"
        added, removed = self.sounds.keys() - earlier.sounds.keys(), earlier.sounds.keys() - self.sounds.keys()
        both = [(self.sounds[sha256], earlier.sounds[sha256]) for sha256 in self.sounds.keys() & earlier.sounds.keys()]
        sides = Counter(self.sounds[sha256][0] for sha256 in added)
        counts = {
            f"added ({sides['train']} to train on)": len(added),
            "removed": len(removed),
            "of another class": sum(now[1] != then[1] for now, then in both),
            "on the other side": sum(now[0] != then[0] for now, then in both),
        }
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count)

    def save(self, logdir: Path) -> None:
        """Write them as `dataset.json`, unless they stand there already."""
        before = load(logdir)
        if before is None or before.digest != self.digest:
            files.write_text(logdir / FILE, json.dumps(dict(self.sounds), indent=0))


def of_dataset(dataset: Dataset, readable: object) -> LearntSounds:
    """The sounds of a dataset whose content hash is in `readable`, such as a store."""
    return LearntSounds(
        {entry.sha256: (entry.split, entry.label) for entry in dataset.entries if entry.sha256 in readable}
    )


def load(logdir: Path) -> LearntSounds | None:
    """The sounds in `dataset.json`; None if there is none that can be read: then what has changed is not known."""
    try:
        stored = json.loads((logdir / FILE).read_text(encoding="ascii"))
        return LearntSounds({sha256: (str(side), label) for sha256, (side, label) in stored.items()})
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None
