"""What a chart is, and how it is read and written. Needs numpy, mido to write MIDI and Pillow to draw
album art; no torch and no audio."""

from .check import Problem, check, check_song
from .dot_chart import format_chart, parse_chart, read_chart, write_chart
from .errors import ChartError
from .hopo import hopo_threshold, natural_hopos
from .ini import read_ini, write_ini
from .library import Library, LibrarySong, UnreadSong, find_songs
from .mend import Mended, mend
from .midi import parse_midi, read_midi
from .midi_writer import format_midi, write_midi
from .notes import (
    HOPO_BIT,
    OPEN_LANE,
    STAR_POWER_BIT,
    TAP_BIT,
    Chart,
    Difficulty,
    Event,
    Instrument,
    Kind,
    Note,
    Phrase,
    SecondsNote,
    Track,
)
from .packed import PackedFile
from .sng import SngFile, read_sng, write_sng
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
    "Event",
    "Instrument",
    "Kind",
    "Library",
    "LibrarySong",
    "Mended",
    "Note",
    "PackedFile",
    "Phrase",
    "Problem",
    "SecondsNote",
    "SngFile",
    "Song",
    "TempoMap",
    "Track",
    "UnreadSong",
    "check",
    "check_song",
    "find_songs",
    "find_stems",
    "format_chart",
    "format_midi",
    "hopo_threshold",
    "mend",
    "natural_hopos",
    "parse_chart",
    "parse_midi",
    "read_chart",
    "read_ini",
    "read_midi",
    "read_sng",
    "read_song",
    "write_chart",
    "write_ini",
    "write_midi",
    "write_sng",
    "write_song",
]
