"""Assignment of sounds to the training and the validation side.

Sounds come in groups that stay together: one content, or one whole folder. Groups are drawn in the order of a hash
of (seed, group), so that neither file names nor the order of scanning matter, and one is held out if that brings
the classes' held-out shares closer to what was asked for.
"""

import zlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence

TRAIN, VALIDATION = "train", "validation"


def sides(
    groups: Sequence[Hashable],
    labels: Sequence[str | None],
    train_ratio: float,
    seed: int,
    earlier: Mapping[Hashable, str] | None = None,
) -> dict[Hashable, str]:
    """The side of each group: "train" or "validation".

    Each class keeps the ratio as nearly as its size and the groups allow, holds out at least one sound if it has
    two, and never all: a class with one group is trained on.

    Args:
        groups: Of each sound.
        labels: Of each sound; None is a class of its own.
        train_ratio: Share of each class to train on, above 0 and below 1.
        seed: Decides the draw.
        earlier: Groups that keep their side.
    """
    members: dict[Hashable, Counter] = defaultdict(Counter)
    for group, label in zip(groups, labels, strict=True):
        members[group][label] += 1
    sizes = Counter(labels)
    wanted = {label: max(1.0, size * (1 - train_ratio)) for label, size in sizes.items()}
    chosen = {group: side for group, side in (earlier or {}).items() if group in members}
    held_out: Counter = Counter()
    for group, side in chosen.items():
        if side == VALIDATION:
            held_out.update(members[group])
    fresh = sorted((group for group in members if group not in chosen), key=lambda group: _draw(group, seed))
    for group in fresh:
        leaves_some = all(held_out[label] + count < sizes[label] for label, count in members[group].items())
        hold_out = leaves_some and _gain(members[group], held_out, wanted) > 0
        chosen[group] = VALIDATION if hold_out else TRAIN
        if hold_out:
            held_out.update(members[group])
    if not held_out and len(members) >= 2 and fresh:
        best = max(fresh, key=lambda group: _gain(members[group], held_out, wanted))
        chosen[best] = VALIDATION
    return chosen


def _draw(group: Hashable, seed: int) -> tuple[int, str]:
    name = str(group)
    return zlib.crc32(f"{seed}:{name}".encode("utf-8", "surrogateescape")), name


def _gain(group: Counter, held_out: Counter, wanted: Mapping[str | None, float]) -> float:
    """Decrease in distance from the target held-out counts of the classes if this group is held out.

    The fall of sum over classes of (wanted - held out)^2 / wanted.
    """
    return sum(
        count * (2 * (wanted[label] - held_out[label]) - count) / wanted[label] for label, count in group.items()
    )
