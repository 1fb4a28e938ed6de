"""Scores of made songs: reproducible, of the wanted length, with the forms and meters of real ones."""

from collections import Counter

import numpy as np
import pytest

from tabhero_hf.charts import Instrument
from tabhero_hf.data.composition import STYLES, Score, compose_song
from tabhero_hf.data.score import PARTS

SEEDS = range(40)


@pytest.fixture(scope="module")
def scores() -> list[Score]:
    return [compose_song(seed, 60.0 + seed) for seed in SEEDS]


def notes_of(score: Score, part: str) -> list[tuple]:
    return [
        (note.time, note.length, note.root, note.shape, note.muted)
        for placed in score.parts[part]
        for note in placed.notes
    ]


def test_same_seed_same_score(scores):
    again = compose_song(5, 65.0)
    assert again.tempo_map == scores[5].tempo_map
    assert again.drums == scores[5].drums
    for part in PARTS:
        assert notes_of(again, part) == notes_of(scores[5], part)
    assert notes_of(scores[5], "lead") != notes_of(scores[6], "lead")


def test_songs_are_as_long_as_asked(scores):
    for seed, score in zip(SEEDS, scores):
        assert 60.0 + seed <= score.tempo_map.seconds(score.end) < 60.0 + seed + 35.0
    drawn = [float(score.tempo_map.seconds(score.end)) for score in map(compose_song, range(20))]
    assert min(drawn) >= 58.0 and max(drawn) < 275.0 and max(drawn) - min(drawn) > 90.0


@pytest.mark.parametrize("featured", [Instrument.KEYS, Instrument.BASS])
def test_songs_about_one_instrument(featured):
    songs = [compose_song(seed, 60.0, featured) for seed in range(8)]
    assert all(song.featured == featured and notes_of(song, featured.name.lower()) for song in songs)
    drawn = [compose_song(seed, 60.0) for seed in range(8)]
    assert [song.tempo_map for song in songs] == [song.tempo_map for song in drawn]  # else as they would be


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e9, float("nan")])
def test_lengths_that_no_song_has(seconds):
    with pytest.raises(ValueError, match="s long"):
        compose_song(0, seconds)


def test_sections_follow_each_other_and_hold_their_notes(scores):
    for score in scores:
        assert score.sections[0].tick == 0
        assert all(a.end == b.tick for a, b in zip(score.sections, score.sections[1:]))
        for part in PARTS:
            notes = notes_of(score, part)
            times = [time for time, *_ in notes]
            assert times == sorted(set(times))
            assert all(time >= score.sections[1].tick and time + length <= score.end for time, length, *_ in notes)
        lowest = min(root for _, _, root, *_ in notes_of(score, "lead"))
        assert min(root for _, _, root, *_ in notes_of(score, "bass")) >= lowest - 24 >= 11
        assert max(root for _, _, root, *_ in notes_of(score, "lead")) <= 96


def test_sections_come_back_with_their_riffs(scores):
    returned = 0
    for score in scores:
        verses = [section for section in score.sections if section.kind == "verse"][:2]
        played = [
            [(time - verse.tick, *note) for time, *note in notes_of(score, "lead") if verse.tick <= time < verse.end]
            for verse in verses
        ]
        if len(played) == 2:
            assert played[0] == played[1]
            returned += 1
    assert returned > 10


def test_fast_metal_dominates_and_everything_occurs(scores):
    assert {score.style for score in scores} == set(STYLES)
    assert Counter(score.style == "rock" for score in scores)[False] > 0.7 * len(scores)
    assert {score.featured for score in scores} == {Instrument(i) for i in range(4)}
    bpm = np.array([score.tempo_map.tempos[0][1] for score in scores])
    assert np.mean((bpm >= 120) & (bpm <= 220)) > 0.7
    several = [len({tempo for _, tempo in score.tempo_map.tempos}) for score in scores]
    assert 0.1 < np.mean(np.array(several) > 1) < 0.6
    assert any(len(score.tempo_map.meters) > 1 for score in scores)
    assert len({numerator for score in scores for _, numerator, _ in score.tempo_map.meters}) > 1


def test_meters_change_on_bar_lines(scores):
    for score in scores:
        for section in score.sections:
            numerator, denominator = section.signature
            assert section.bar == score.tempo_map.resolution * 4 * numerator // denominator
