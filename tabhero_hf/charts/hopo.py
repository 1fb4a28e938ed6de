"""Natural hammer-ons: which notes a player sees as HOPO when nothing forces them.

Follows the community specification (TheNathannator/GuitarGame_ChartFormats) and Clone Hero's defaults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def hopo_threshold(resolution: int, settings: Mapping[str, str] | None = None, *, midi: bool = False) -> int:
    """The largest distance in ticks, inclusive, from the previous note at which a note is a natural HOPO.

    Args:
        resolution: ticks per quarter note.
        settings: keys of ``song.ini``, of which ``hopo_frequency`` (ticks; 0, negative or not a number is unset) and
            ``eighthnote_hopo`` (``1`` or ``true``) count, in this order.
        midi: the rule of ``notes.mid`` instead of that of ``notes.chart``.
    """
    settings = settings or {}
    try:
        frequency = int(settings.get("hopo_frequency", "0"))
    except ValueError:
        frequency = 0
    if frequency > 0:
        return frequency
    if settings.get("eighthnote_hopo", "").strip().lower() in ("1", "true"):
        return resolution // 2 + 1
    return resolution // 3 + 1 if midi else 65 * resolution // 192


def natural_hopos(
    ticks: Sequence[int], lanes: Sequence[tuple[int, ...]], threshold: int, *, midi: bool = False
) -> list[bool]:
    """For each note whether it is a natural HOPO.

    A single note at most ``threshold`` ticks after the previous note, and not that same single note again. In
    ``notes.mid`` it may not be a member of the previous chord either.

    Args:
        ticks: one tick a note (all lanes struck together), strictly ascending.
        lanes: the lanes of each note, sorted.
        threshold: see :func:`hopo_threshold`.
        midi: the rule of ``notes.mid`` instead of that of ``notes.chart``.
    """
    natural = [False] * len(ticks)
    for i in range(1, len(ticks)):
        near = ticks[i] - ticks[i - 1] <= threshold
        repeated = lanes[i] == lanes[i - 1] or (midi and lanes[i][0] in lanes[i - 1])
        natural[i] = near and len(lanes[i]) == 1 and not repeated
    return natural
