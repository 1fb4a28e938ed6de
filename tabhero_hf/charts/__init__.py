"""What a chart is, and how it is read and written. Needs numpy, and mido to read MIDI; no torch and no audio."""

from .dot_chart import format_chart, read_chart, write_chart
from .errors import ChartError
from .hopo import hopo_threshold, natural_hopos
from .ini import read_ini, write_ini
from .midi import read_midi
from .notes import (
    HOPO_BIT,
    OPEN_LANE,
    STAR_POWER_BIT,
    TAP_BIT,
    Chart,
    Difficulty,
    Instrument,
    Kind,
    Note,
    Phrase,
    SecondsNote,
    Track,
)
from .song_folder import Song, find_stems, read_song, write_song
from .tempo import TempoMap

__all__ = [
    "HOPO_BIT",
    "OPEN_LANE",
    "STAR_POWER_BIT",
    "TAP_BIT",
    "Chart",
    "ChartError",
    "Difficulty",
    "Instrument",
    "Kind",
    "Note",
    "Phrase",
    "SecondsNote",
    "Song",
    "TempoMap",
    "Track",
    "find_stems",
    "format_chart",
    "hopo_threshold",
    "natural_hopos",
    "read_chart",
    "read_ini",
    "read_midi",
    "read_song",
    "write_chart",
    "write_ini",
    "write_song",
]
