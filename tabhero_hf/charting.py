"""From a song's audio to a song that Clone Hero plays, in one call."""

import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import bundled_checkpoint
from .audio.beats import DEFAULT_RESOLUTION, MAX_GIVEN_BPM, MIN_GIVEN_BPM
from .audio.loading import audio_duration, audio_files, audio_tags, is_song
from .audio.transcoding import to_ogg
from .charts import Chart, ChartError, Difficulty, Instrument, TempoMap, mend, read_song, write_song
from .charts.measures import Measures
from .charts.metadata import song_metadata
from .charts.region import with_region
from .charts.song_folder import AUDIO_SUFFIXES, STEM_NAMES, Song, check_target, song_files
from .charts.text_files import MAX_NUMBER, name_as_text
from .tokenization_tabhero import Note

CHARTER = "tabhero_hf"
MOST_MEASURES = 2  # a second


@dataclass
class ChartedSong:
    """
    A charted song: the `folder` (or `.sng` or `.zip`) written, the `notes` in seconds of the chart of each
    `(instrument, difficulty)` by name, the song's `duration` in seconds, and by instrument the `confidence` of each
    measure that was heard, see [`~tabhero_hf.arranging.measure_confidence`]. A `warning` says why a chart that the
    song has already could not be read.
    """

    folder: Path
    notes: dict[tuple[str, str], list[Note]]
    duration: float
    confidence: dict[str, np.ndarray] = field(default_factory=dict)
    warning: str | None = None


def chart_song(
    song: str | os.PathLike,
    output: str | os.PathLike,
    difficulties: Sequence[str | int | Difficulty] = tuple(Difficulty),
    instruments: Sequence[str | int | Instrument] = (Instrument.LEAD,),
    *,
    model: str | os.PathLike | None = None,
    charter=None,
    metadata: dict[str, str] | None = None,
    region: tuple[float, float] | None = None,
    **parameters,
) -> ChartedSong:
    """
    Charts a song and writes one that Clone Hero plays, or nothing at all if anything is wrong. What
    [`~tabhero_hf.charts.check`] would object to in the model's chart is mended first.

    The tempo map of a song that has a chart already is kept, unless `parameters` give another one, or it cannot be
    that of the audio.

    Args:
        song: An audio file, or a song (a folder, a `.sng` or a `.zip`), whose stems are summed and whose metadata and
            album art are taken over. An audio file's are its tags, and else what its name says, as in
            `Artist - Title.ogg`. Audio in a format that Clone Hero does not play is written as Ogg Vorbis.
        output: The folder to write, or a file where the name ends in `.sng` or `.zip`; an existing song is replaced,
            any other file or non-empty folder refused.
        difficulties: Which of `easy`, `medium`, `hard` and `expert`.
        instruments: Which of `lead`, `bass`, `rhythm` and `keys`.
        model: Model folder or Hub name; the bundled checkpoint when unset.
        charter: An [`AudioToChartPipeline`] to use instead of loading one.
        metadata: For `song.ini`, over that of the song: `name`, `artist` and so on.
        region: Seconds from and to which the song's own chart is charted anew. All else of it stays as it is.
        parameters: Further parameters of the pipeline's call.

    Raises:
        ValueError: an unknown difficulty or instrument, audio that cannot be used or in which nothing to chart is
            heard, an `output` that is something else than a song or holds charts of other instruments, or a `region`
            that the song has not, or of a song without a chart.
    """
    difficulties = [Difficulty.parse(value) for value in difficulties]
    instruments = [Instrument.parse(value) for value in instruments]
    stems = audio_files(song)
    source = song_files(song) if is_song(song) else None
    check_target(output)
    duration = audio_duration(stems)
    known, unread = _read(song) if source and source.chart else (None, None)
    own = known.chart if known and any(track.notes for track in known.chart.tracks.values()) else None
    kept = _own_tempo_map(own, duration) if own else {}
    if region is not None:
        if unread:
            raise unread
        _check_region(song, own, region, duration)
        if own.left_out:
            raise ValueError(f"{', '.join(own.left_out)} of {song} would be lost: chart all of it anew")
        if not kept:
            raise ValueError(f"the tempo map of {song} cannot be that of its audio: chart all of it anew")
    if charter is None:
        from transformers import pipeline

        charter = pipeline("audio-to-chart", model=bundled_checkpoint() if model is None else str(model))
    if not parameters.keys() & {"bpm", "offset", "tempo_map"}:
        parameters = {**kept, **parameters}
    heard = charter({"stems": stems}, difficulties=difficulties, instruments=instruments, **parameters)
    if not any(track.notes for track in heard["chart"].tracks.values()):
        raise ValueError(f"{song}: nothing to chart is heard in it")
    chart = mend(heard["chart"], duration).chart
    charter_name, confidence = {"charter": CHARTER}, heard["measure_confidence"]
    if region is not None:
        chart, charter_name = with_region(own, chart, region[0], min(region[1], duration)), {}
        confidence = {name: _within(measures, *region) for name, measures in confidence.items()}
    with tempfile.TemporaryDirectory() as converted:
        # Whatever the model could hear can be transcoded: no format fails only now.
        if not all(os.path.splitext(stem.name)[1].lower() in AUDIO_SUFFIXES for stem in stems):
            stems = [to_ogg(stems[0], Path(converted) / "song.ogg")]
        folder = write_song(
            output,
            chart,
            stems,
            album=source and source.album,
            metadata={
                **(song_metadata((known or source).metadata) if source else _metadata_of_file(song, output)),
                **charter_name,
                **(metadata or {}),
            },
            # scan-chart counts from tick 0, which a lead-in puts before the audio: a last note may come later than it.
            song_length=max([duration, *np.ceil(1000 * chart.tempo_map.seconds(chart.end_ticks)) / 1000]),
        )
    notes = {
        (instrument.name.lower(), difficulty.name.lower()): chart.to_seconds(instrument, difficulty)
        for instrument, difficulty in chart.tracks
    }
    return ChartedSong(folder, notes, duration, confidence, unread and str(unread))


def file_metadata(song: str | os.PathLike) -> dict[str, str]:
    """What an audio file's tags, and else its name, say of the song: nothing where it is called as stems are."""
    stem = name_as_text(Path(song).stem)
    artist, dash, title = stem.partition(" - ")
    named = {"artist": artist.strip(), "name": title.strip()} if dash else {"name": stem}
    if stem.lower() in STEM_NAMES:
        named = {}
    if re.fullmatch(r"\d{1,3}\.?", named.get("artist", "")):  # a track's number
        del named["artist"]
    return {**named, **audio_tags(song)}


def _metadata_of_file(song: str | os.PathLike, output: str | os.PathLike) -> dict[str, str]:
    """What an audio file says of its song and, if the song that it lies in is written over, what that one says."""
    known = {}
    if Path(song).resolve().parent == Path(output).resolve():
        known = song_metadata(song_files(output).metadata)
    return {**file_metadata(song), **{key: value for key, value in known.items() if value.strip()}}


def _read(song: str | os.PathLike) -> tuple[Song | None, ChartError | None]:
    """A song with a chart, or what is wrong with that."""
    try:
        return read_song(song), None
    except ChartError as error:
        return None, error


def _check_region(song: str | os.PathLike, chart: Chart | None, region: tuple[float, float], duration: float):
    if chart is None:
        raise ValueError(f"{song} has no chart to change a part of")
    start, end = region
    if not 0 <= start < min(end, duration):
        raise ValueError(f"{song} has nothing from {start:g} to {end:g} s: it is {duration:.1f} s long")


def _fits(tempo_map: TempoMap, offset: float, duration: float) -> bool:
    """Whether a tempo map can be that of so many seconds of audio: strangers' charts say anything."""
    if abs(offset) > duration:
        return False
    first, last = tempo_map.ticks(np.array([0.0, duration]) - offset).tolist()
    beats = (last - first) / tempo_map.resolution
    measures = Measures(tempo_map).at(max(last, 0))
    return (
        last <= MAX_NUMBER
        and MIN_GIVEN_BPM <= 60 * beats / duration <= MAX_GIVEN_BPM
        and measures <= MOST_MEASURES * duration + 1
    )


def _within(measures: np.ndarray, start: float, end: float) -> np.ndarray:
    """Those of the measures that lie between two moments."""
    return measures[(measures[:, 0] >= start) & (measures[:, 1] <= end)]


def _own_tempo_map(chart: Chart, duration: float) -> dict:
    """A chart's tempo map and offset, as the pipeline takes them; nothing where they cannot be those of the audio."""
    # Ticks of a few milliseconds would move what the model hears.
    given = chart.tempo_map
    finer = -(-DEFAULT_RESOLUTION // given.resolution)
    tempos, meters = (
        tuple((tick * finer, *values) for tick, *values in markers) for markers in (given.tempos, given.meters)
    )
    tempo_map = TempoMap(given.resolution * finer, tempos, meters)
    return {"tempo_map": tempo_map, "offset": chart.offset} if _fits(tempo_map, chart.offset, duration) else {}
