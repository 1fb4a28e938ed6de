"""Broken files of every format: each is read or refused with a ChartError, and what was read can be used."""

import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tabhero_hf.charts import (
    Chart,
    ChartError,
    Difficulty,
    Event,
    Instrument,
    Kind,
    Note,
    Phrase,
    TempoMap,
    Track,
    check,
    check_song,
    format_chart,
    format_midi,
    mend,
    parse_chart,
    parse_midi,
    read_song,
    write_song,
)

# `make fuzz` sets more.
EXAMPLES = int(os.environ.get("TABHERO_FUZZ_EXAMPLES", "500"))
fuzzed = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def made_chart() -> Chart:
    notes = (Note(768, (0,), 96), Note(960, (1, 2), 192, Kind.HOPO, (192, 0)), Note(1152, (6,), 0, Kind.TAP))
    phrases = (Phrase(768, 300),), (Phrase(960, 96),)
    tracks = [
        Track(instrument, difficulty, notes, *phrases)
        for instrument in (Instrument.LEAD, Instrument.GHL_BASS)
        for difficulty in (Difficulty.EASY, Difficulty.EXPERT)
    ]
    return Chart(
        TempoMap(192, ((0, 120.0), (768, 95.5)), ((0, 4, 4), (768, 7, 8))),
        {(track.instrument, track.difficulty): track for track in tracks},
        sections=(Event(768, "Intro"),),
        lyrics=(Event(800, "Oh"),),
        lyric_phrases=(Phrase(790, 99),),
        end_ticks=(1536,),
        metadata={"name": "Café", "artist": "Ä"},
        offset=-0.25,
    )


@st.composite
def mutants(draw, source: bytes, words: tuple[bytes, ...]):
    """The file with some of its bytes replaced, deleted, repeated, cut off, or words of the format put in."""
    data = bytearray(source)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        action = draw(st.integers(0, 5))
        if action == 0:
            data[at : at + 1] = bytes([draw(st.integers(0, 255))])
        elif action == 1:
            del data[at : at + draw(st.integers(1, 40))]
        elif action == 2:
            data[at:at] = data[at : at + draw(st.integers(1, 200))] * draw(st.integers(1, 5))
        elif action == 3:
            del data[at:]
        elif action == 4:
            data[at:at] = draw(st.sampled_from(words))
        else:
            data[at : at + 4] = draw(st.binary(min_size=4, max_size=4))
    return bytes(data)


def use(chart: Chart):
    """All that can be done with a chart that was read."""
    for track in chart.tracks.values():
        chart.to_seconds(track.instrument, track.difficulty)
    check(chart)
    check(mend(chart).chart)
    for write in (format_chart, format_midi):
        try:
            write(chart)
        except ChartError:
            pass


CHART_WORDS = (
    b"\n",
    b"=",
    b" = N 0 0\n",
    b"[Song]\n{\n",
    b"}\n",
    b'"',
    b"99999999999",
    b"-1",
    b"0",
    b"E ",
    b"\xff\xfe",
    b"TS ",
)
MIDI_WORDS = (
    b"\xff\x2f\0",
    b"\xff\x51\3\0\0\0",
    b"\xf0\x08PS\0\0\xff\x04\1\xf7",
    b"MTrk",
    b"\xff\xff\xff\x7f",
    b"\x90\x60\x64",
)
SNG_WORDS = (b"\0" * 8, b"\xff" * 8, b"../", b"\1\0\0\0", b"notes.chart")


@fuzzed
@given(mutants(format_chart(made_chart()).encode(), CHART_WORDS))
def test_dot_chart(data):
    try:
        chart = parse_chart(data)
    except ChartError:
        return
    use(chart)


@fuzzed
@given(mutants(format_midi(made_chart()), MIDI_WORDS))
def test_midi(data):
    try:
        chart = parse_midi(data)
    except ChartError:
        return
    use(chart)


def packed(folder: Path, suffix: str) -> bytes:
    audio = folder / "song.ogg"
    audio.write_bytes(b"OggS" + bytes(500))
    return Path(write_song(folder / f"song{suffix}", made_chart(), audio)).read_bytes()


def without_pictures(data: bytes, folder: Path) -> bytes:
    """A .zip whose mutations meet more than the album art's bytes."""
    source, target = folder / "source.zip", folder / "target.zip"
    source.write_bytes(data)
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as smaller:
        for name in archive.namelist():
            if not name.endswith(".png"):
                smaller.writestr(name, archive.read(name))
    return target.read_bytes()


@pytest.mark.parametrize("suffix", [".sng", ".zip"])
def test_archives(tmp_path_factory, suffix):
    folder = tmp_path_factory.mktemp("fuzz")
    source = packed(folder, suffix)
    if suffix == ".zip":
        source = without_pictures(source, folder)
    broken = folder / f"broken{suffix}"

    @fuzzed
    @given(mutants(source, SNG_WORDS))
    def fuzz(data):
        broken.write_bytes(data)
        try:
            song = read_song(broken)
            check_song(song)
            for stem in song.stems:
                with stem.open() as file:
                    file.read()
        except ChartError:
            return
        use(song.chart)

    fuzz()
    assert {path.name for path in folder.iterdir()} <= {
        broken.name,
        f"song{suffix}",
        "song.ogg",
        "source.zip",
        "target.zip",
    }
