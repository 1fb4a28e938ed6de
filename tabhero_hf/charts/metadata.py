"""What ``song.ini`` says of a song: its own metadata, and what is told of its chart."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from .ini import number
from .notes import Chart, Difficulty, Instrument

DEFAULT_METADATA = dict.fromkeys(("artist", "album", "genre", "year", "charter"), "Unknown")
"""What is written where nothing is known: in other words than `PLACEHOLDERS`, which count as missing."""

PLACEHOLDERS = {key: f"Unknown {key.title()}" for key in ("name", *DEFAULT_METADATA)}
"""What chart editors leave there."""

DIFFICULTY_KEYS = {
    "diff_guitar": Instrument.LEAD,
    "diff_guitar_coop": Instrument.COOP,
    "diff_bass": Instrument.BASS,
    "diff_rhythm": Instrument.RHYTHM,
    "diff_keys": Instrument.KEYS,
    "diff_guitarghl": Instrument.GHL_LEAD,
    "diff_bassghl": Instrument.GHL_BASS,
    "diff_rhythm_ghl": Instrument.GHL_RHYTHM,
    "diff_guitar_coop_ghl": Instrument.GHL_COOP,
}
NOTES_PER_SECOND = (1.0, 2.0, 3.0, 4.5, 6.0, 8.0)
"""Where the next of the estimates 0-6 begins."""

CHART_KEYS = ("charter", "frets")
"""What tells of a chart's author, and not of the song; ``diff_`` keys do not tell of the song either."""

RULE_KEYS = {"hopo_frequency", "eighthnote_hopo", "sustain_cutoff_threshold", "chord_snap_threshold"}
"""What changes which notes are HOPOs, chords or held."""

READING_KEYS = {*RULE_KEYS, "delay", "multiplier_note"}
"""What changes how a chart is read: it is never carried over, since a written chart needs none of it or its own."""

CHART_FILE_KEY = re.compile(r"offset|resolution|\w*stream")
"""What stands in ``notes.chart`` only."""

PLAIN_KEY = re.compile(r"\w[\w .-]*")


def song_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """What of the metadata is about the song, whoever charts it."""
    return {key: value for key, value in metadata.items() if key not in CHART_KEYS and not key.startswith("diff_")}


def ini_values(
    chart: Chart, metadata: Mapping[str, str], *, song_length: float | None = None, midi: bool = False
) -> dict[str, object]:
    """The keys and values of the ``song.ini`` of a chart.

    Args:
        chart: what is charted.
        metadata: with at least ``name`` and the keys of ``DEFAULT_METADATA``. Keys that are not known are carried
            over, those that change how a chart is read are not.
        song_length: seconds; else the metadata's, else where the chart ends.
        midi: whether the chart lies in a ``notes.mid``, which needs ``delay`` for its offset and ``multiplier_note``
            for its solos.
    """
    length = number(metadata, "song_length")
    if song_length is not None:
        length = song_length * 1000
    elif length is None:
        length = (float(chart.tempo_map.seconds(chart.last_tick)) + chart.offset) * 1000
    length = max(round(length), 0)
    preview = number(metadata, "preview_start_time")
    values = {
        **{key: metadata[key] for key in ("name", *DEFAULT_METADATA)},
        "song_length": length,
        "preview_start_time": length // 3 if preview is None or preview < 0 else round(preview),
    }
    charted = {instrument for instrument, _ in chart.tracks}
    for key, instrument in DIFFICULTY_KEYS.items():
        if instrument in charted:
            known = number(metadata, key)
            values[key] = difficulty_estimate(chart, instrument) if known is None or known < 0 else round(known)
        elif not instrument.six_fret:
            values[key] = -1
    for key, value in metadata.items():
        left_out = key in READING_KEYS or key.startswith("diff_") or CHART_FILE_KEY.fullmatch(key)
        if not left_out and PLAIN_KEY.fullmatch(key):
            values.setdefault(key, value)
    return {**values, **(midi_settings(chart) if midi else {})}


def midi_settings(chart: Chart) -> dict[str, int]:
    """What ``song.ini`` has to say of a chart in a ``notes.mid``, which holds no offset and takes solos for others."""
    settings = {"delay": round(chart.offset * 1000)} if round(chart.offset * 1000) else {}
    if any(track.solos for track in chart.tracks.values()):
        settings["multiplier_note"] = 116
    return settings


def misleading_settings(values: Mapping[str, str], chart: Chart, *, midi: bool) -> set[str]:
    """The keys of a ``song.ini`` by which a bare chart beside it is read otherwise than it was written.

    Args:
        values: of the ``song.ini``.
        chart: what is written; of a ``.mid``, :func:`midi_settings` tells what has to be there.
        midi: whether it is a ``.mid``.
    """
    wrong = values.keys() & RULE_KEYS
    if number(values, "delay") not in (None, 0, round(chart.offset * 1000)):
        wrong |= {"delay"}
    if midi and number(values, "multiplier_note") == 103:
        wrong |= {"multiplier_note"}
    return wrong


def difficulty_estimate(chart: Chart, instrument: Instrument) -> int:
    """0-6 from the notes per second of the hardest track between its first and last note; -1 without one."""
    for difficulty in reversed(Difficulty):
        track = chart.tracks.get((instrument, difficulty))
        if track and track.notes:
            first, last = chart.tempo_map.seconds([track.notes[0].tick, track.notes[-1].tick])
            # Under ten seconds a density says little.
            return int(np.searchsorted(NOTES_PER_SECOND, len(track.notes) / max(last - first, 10.0), side="right"))
    return -1
