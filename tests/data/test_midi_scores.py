"""Scores of MIDI files: the band plays what is written there, and its charter charts it."""

import io
import re
import struct
from collections.abc import Sequence

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabhero_hf.charts import Difficulty, Instrument, check, check_song, read_song
from tabhero_hf.data.made_library import make_library
from tabhero_hf.data.made_songs import render_score
from tabhero_hf.data.midi_scores import STRETCH, TRANSPOSED, midi_pieces, midi_score
from tabhero_hf.data.score import RESOLUTION, Score

BEAT = 480
RIFF = [(0.0, (40, 47)), (0.5, (40,)), (0.75, (40,)), (1.0, (43, 50)), (2.0, (45, 52)), (3.0, (40,)), (3.5, (43,))]
BARS = 16
DISTORTED, OVERDRIVEN, FINGERED_BASS = 30, 29, 33


def written(
    channels: Sequence[tuple[int, int, list[tuple[float, tuple[int, ...]]]]],
    tempos: Sequence[tuple[float, float]] = ((0.0, 140.0),),
    length: float = 0.4,
) -> bytes:
    """A MIDI file of (channel, program, [(beat, pitches)])."""
    events = [(beat, mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm))) for beat, bpm in tempos]
    events.append((0.0, mido.MetaMessage("time_signature", numerator=4, denominator=4)))
    for channel, program, notes in channels:
        events.append((0.0, mido.Message("program_change", channel=channel, program=program)))
        for beat, pitches in notes:
            for pitch in pitches:
                events.append((beat, mido.Message("note_on", channel=channel, note=pitch, velocity=100)))
                events.append((beat + length, mido.Message("note_off", channel=channel, note=pitch)))
    track, now = mido.MidiTrack(), 0
    for beat, message in sorted(events, key=lambda event: (event[0], event[1].type != "note_off")):
        track.append(message.copy(time=round(beat * BEAT) - now))
        now = round(beat * BEAT)
    file = io.BytesIO()
    mido.MidiFile(ticks_per_beat=BEAT, tracks=[track]).save(file=file)
    return file.getvalue()


def through(riff, bars: int = BARS, first: float = 0.0, higher: int = 0):
    return [
        (first + 4 * bar + beat, tuple(pitch + higher for pitch in pitches))
        for bar in range(bars)
        for beat, pitches in riff
    ]


@pytest.fixture(scope="module")
def piece() -> bytes:
    drums = [(beat, (36 if beat % 2 == 0 else 38, 42)) for beat in range(4 * BARS)]
    melody = [(2.0 * i, (64 + i % 5,)) for i in range(2 * BARS)]
    bass = [(beat, (pitches[0] - 12,)) for beat, pitches in through(RIFF)]
    return written(
        [(0, DISTORTED, through(RIFF)), (1, FINGERED_BASS, bass), (2, OVERDRIVEN, melody), (9, 0, drums)],
        tempos=[(0.0, 140.0), (32.0, 100.0)],
    )


def played(score: Score, part: str) -> list:
    return [note for placed in score.parts[part] for note in placed.notes]


def test_the_band_plays_what_is_written(piece):
    score = midi_score(piece, "Riff", seed=1)
    assert score.featured == Instrument.LEAD and score.style == "heavy" and score.title == "Riff"
    lead, bass, melody = (played(score, part) for part in ("lead", "bass", "rhythm"))
    assert not any(score.parts[part] for part in ("second", "keys", "vocals"))
    expected = through(RIFF)
    (higher,) = {note.root - pitches[0] for note, (_, pitches) in zip(lead, expected, strict=True)}
    assert abs(higher) <= TRANSPOSED and {note.root - lead[i].root for i, note in enumerate(bass)} == {-12}
    assert [note.shape for note in lead[:4]] == ["fifth", "single", "single", "fifth"]
    assert len(melody) == 2 * BARS and len(score.drums) == 8 * BARS
    # In seconds: all of the file's distances, as much faster as this seed plays it, after a lead-in.
    seconds = score.tempo_map.seconds([note.time for note in lead])
    beats = np.array([beat for beat, _ in expected])
    at = np.where(beats < 32, beats * 60 / 140, 32 * 60 / 140 + (beats - 32) * 60 / 100)
    faster = at[-1] / (seconds[-1] - seconds[0])
    assert 1 / (1 + STRETCH) <= faster <= 1 + STRETCH
    np.testing.assert_allclose((seconds - seconds[0]) * faster, at, atol=1e-3)
    assert seconds[0] >= 1.0


def test_a_bar_that_comes_back_is_the_same_riff(piece):
    score = midi_score(piece, "Riff", seed=1)
    assert len({id(placed.riff) for placed in score.parts["lead"]}) == 1 < len(score.parts["lead"])


def test_it_is_charted_and_sounds(piece):
    score = midi_score(piece, "Riff", seed=2)
    song = render_score(score)
    assert check(song.chart) == [] and song.chart.metadata["name"] == "Riff"
    notes = song.chart.to_seconds(Instrument.LEAD, Difficulty.EXPERT)
    assert len(notes) == len(RIFF) * BARS
    assert {"lead", "bass", "rhythm", "drums"} == set(song.stems)
    # The guitar is heard from its first note on.
    sound, first = song.stems["lead"], int(22050 * notes[0][0])
    assert np.abs(sound[: first - 1000]).max(initial=0.0) < 0.1 * np.abs(sound[first : first + 10_000]).max()


def test_seeds_differ_in_tempo_and_key(piece):
    scores = [midi_score(piece, "Riff", seed) for seed in range(8)]
    assert len({score.tempo_map.tempos for score in scores}) == 8
    assert len({played(score, "lead")[0].root for score in scores}) > 2
    again = midi_score(piece, "Riff", 3)
    assert (again.tempo_map, again.drums) == (scores[3].tempo_map, scores[3].drums)


def test_what_doubles_a_guitar_is_charted_by_nobody():
    score = midi_score(
        written(
            [
                (0, DISTORTED, through(RIFF)),
                (1, DISTORTED, through(RIFF, higher=12)),
                (2, OVERDRIVEN, through([(0.0, (64,)), (2.0, (67,))])),
            ]
        ),
        "Twice",
        seed=0,
    )
    assert [len(played(score, part)) for part in ("lead", "second", "rhythm")] == [112, 112, 32]


def test_where_the_lead_rests_it_plays_with_the_rhythm():
    lead, rhythm = through(RIFF, bars=8), through([(0.0, (45,)), (2.0, (50,))])
    score = midi_score(written([(0, DISTORTED, lead), (1, DISTORTED, rhythm)]), "Rests", seed=0)
    own, after = played(score, "lead")[: len(lead)], played(score, "lead")[len(lead) :]
    assert [note.time for note in after] == [note.time for note in played(score, "rhythm")[16:]]
    assert {note.root - own[0].root for note in after} == {5, 10}


def test_notes_of_silence_before_it_begins_are_left_out():
    score = midi_score(written([(0, DISTORTED, through(RIFF, first=400.0))]), "Late", seed=0)
    assert score.tempo_map.seconds(played(score, "lead")[0].time) < 5.0


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "no MIDI file"),
        (b"MThd and nothing more", "no MIDI file"),
        (written([(0, DISTORTED, through(RIFF, bars=2))]), "only"),
        (written([(0, DISTORTED, [(beat * 1.137, pitches) for beat, pitches in through(RIFF)])]), "on its beats"),
        (written([(0, DISTORTED, through(RIFF, bars=40))], tempos=[(0.0, 4.0)]), "longer than 30 minutes"),
        (re.sub(rb"(\xffQ\x03)...", rb"\1\0\0\0", written([(0, DISTORTED, through(RIFF))])), "no MIDI file"),
        (written([(9, 0, [(beat / 2, (36, 42)) for beat in range(100)])]), "neither guitar, keys nor bass"),
    ],
)
def test_what_cannot_be_played_is_named(data, words):
    with pytest.raises(ValueError, match=f"^Broken .*{words}"):
        midi_score(data, "Broken", seed=0)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_broken_file_is_a_clear_error_or_a_score(piece, data):
    broken = bytearray(piece[:6000])
    for _ in range(data.draw(st.integers(1, 8))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    try:
        score = midi_score(bytes(broken), "Broken", seed=0)
    except ValueError as error:
        assert str(error).startswith("Broken ")
    else:
        assert 0 < score.end < 10_000 * 4 * RESOLUTION


# Where pieces are


def wad(lumps: dict[str, bytes]) -> bytes:
    position, directory, body = 12, b"", b""
    for name, lump in lumps.items():
        directory += struct.pack("<ii8s", position, len(lump), name.encode())
        body += lump
        position += len(lump)
    return b"IWAD" + struct.pack("<ii", len(lumps), position) + body + directory


def test_pieces_are_found_once(piece, tmp_path):
    other = written([(0, DISTORTED, through(RIFF, higher=2))])
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / "b.mid").write_bytes(piece)
    (tmp_path / "album" / "notes.txt").write_bytes(piece)
    (tmp_path / "game.wad").write_bytes(wad({"D_ONE": other, "D_TWO": piece, "PLAYPAL": b"no music"}))
    found = midi_pieces([tmp_path / "album", tmp_path / "game.wad"])
    assert found == [("b", piece), ("D_ONE", other)]
    with pytest.raises(ValueError, match="no MIDI files at"):
        midi_pieces([tmp_path / "album" / "notes.txt"])


def test_a_library_has_the_pieces_in_turn(piece, tmp_path):
    other = written([(0, DISTORTED, through(RIFF, higher=2))])
    make_library(tmp_path / "songs", 2, first_seed=3, workers=1, pieces=[("Riff", piece), ("Other", other)])
    songs = [read_song(folder) for folder in sorted((tmp_path / "songs").iterdir())]
    assert [song.chart.metadata["name"] for song in songs] == ["Other", "Riff"]
    assert all(check_song(song) == [] for song in songs)


def test_an_archive_whose_entries_share_bytes_is_broken(piece, tmp_path):
    directory = b"".join(struct.pack("<ii8s", 12, len(piece) - i, b"D_ONE") for i in range(3))
    data = b"IWAD" + struct.pack("<ii", 3, 12 + len(piece)) + piece + directory
    (tmp_path / "game.wad").write_bytes(data)
    with pytest.raises(ValueError, match="game.wad is no WAD archive, or broken"):
        midi_pieces([tmp_path / "game.wad"])


def test_a_piece_of_a_billion_beats_is_refused(tmp_path):
    notes = [*through(RIFF), (1e6, (40,))]
    with pytest.raises(ValueError, match="Long is longer, or denser, than music"):
        midi_score(written([(0, DISTORTED, notes)], tempos=[(0.0, 6e7)]), "Long", 0)


@pytest.mark.parametrize(
    "data", [b"", b"IWAD", b"IWAD" + struct.pack("<ii", 2**31 - 1, 12), b"PK\x03\x04" + bytes(40)]
)
def test_a_broken_archive_is_named(data, tmp_path):
    (tmp_path / "game.wad").write_bytes(data)
    with pytest.raises(ValueError, match="game.wad"):
        midi_pieces([tmp_path / "game.wad"])
