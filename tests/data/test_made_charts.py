"""Charts of made songs: sound, nested, and lanes that follow the riff."""

from collections import defaultdict

import numpy as np
import pytest

from tabhero_hf.charts import Chart, Difficulty, Instrument, Kind, check
from tabhero_hf.data.composition import compose_song
from tabhero_hf.data.made_charts import LANES, MANY_PITCHES, chart_score, pitch_lanes, riff_lanes, spaced, span
from tabhero_hf.data.score import RESOLUTION, Score
from tabhero_hf.data.synthetic import Note


@pytest.fixture(scope="module")
def songs() -> list[tuple[Score, Chart]]:
    scores = [compose_song(seed, 75.0) for seed in range(24)]
    return [(score, chart_score(score)) for score in scores]


def notes(*roots: int, **kwargs) -> list[Note]:
    return [Note(i * 48, 48, root, **kwargs) for i, root in enumerate(roots)]


def lanes(*roots: int) -> list[int]:
    lane_of = pitch_lanes(notes(*roots))
    return [lane_of[root] for root in roots]


def test_a_run_over_the_whole_keyboard_rises_over_all_lanes():
    run = lanes(*range(21, 109))
    assert run == sorted(run) and set(run) == set(range(LANES))
    high = [*notes(*range(21, 109)), *notes(50, shape="octave")]
    assert pitch_lanes(high)[50] + span(high[-1]) < LANES


def test_charts_have_no_problems(songs):
    for _, chart in songs:
        assert check(chart) == []


def test_all_difficulties_of_the_charted_instruments(songs):
    for score, chart in songs:
        instruments = {instrument for instrument, _ in chart.tracks}
        assert score.featured in instruments
        assert {Instrument.LEAD, Instrument.BASS} <= instruments <= set(list(Instrument)[:4])
        assert set(chart.tracks) == {
            (instrument, difficulty) for instrument in instruments for difficulty in Difficulty
        }


def test_easier_is_contained_in_harder(songs):
    for _, chart in songs:
        for instrument, difficulty in chart.tracks:
            if difficulty < Difficulty.EXPERT:
                easier, harder = (
                    {note.tick for note in chart.tracks[instrument, level].notes}
                    for level in (difficulty, Difficulty(difficulty + 1))
                )
                assert easier < harder


def test_easier_has_fewer_lanes_and_smaller_chords(songs):
    top = {Difficulty.EASY: 2, Difficulty.MEDIUM: 3, Difficulty.HARD: 4, Difficulty.EXPERT: 4}
    size = {Difficulty.EASY: 1, Difficulty.MEDIUM: 2, Difficulty.HARD: 2, Difficulty.EXPERT: 2}
    shares = defaultdict(list)
    for _, chart in songs:
        for (_, difficulty), track in chart.tracks.items():
            assert all(note.lanes[-1] <= top[difficulty] for note in track.notes)
            assert all(len(note.lanes) <= size[difficulty] for note in track.notes)
            shares[difficulty].append(np.mean([len(note.lanes) == 2 for note in track.notes]))
    means = [np.mean(shares[difficulty]) for difficulty in Difficulty]
    assert means == sorted(means) and means[0] == 0 and 0.1 < means[3] < 0.4


def test_easy_is_on_the_beat_and_expert_as_dense_as_humans_chart(songs):
    on_beat, rates = [], []
    for score, chart in songs:
        easy = chart.tracks[Instrument.LEAD, Difficulty.EASY].notes
        on_beat.append(np.mean([note.tick % RESOLUTION == 0 for note in easy]))
        expert = chart.tracks[Instrument.LEAD, Difficulty.EXPERT].notes
        rates.append(len(expert) / score.tempo_map.seconds(score.end))
    assert 0.77 < np.mean(on_beat) < 0.98
    assert min(rates) > 1.5 and max(rates) < 9 and 3 < np.mean(rates) < 6.5


def test_what_comes_back_is_charted_alike(songs):
    alike, all_notes = 0, 0
    for score, chart in songs[:10]:
        for difficulty in Difficulty:
            charted = {note.tick: note for note in chart.tracks[Instrument.LEAD, difficulty].notes}
            first = {}
            for placed in score.parts["lead"]:
                inside = {
                    int(note.time) - placed.tick: charted[note.time].lanes
                    for note in placed.notes
                    if note.time in charted
                }
                other = first.setdefault((placed.riff, placed.phrase), inside)
                if difficulty == Difficulty.EXPERT:
                    assert inside == other
                alike += len(inside.items() & other.items())
                all_notes += max(len(inside), len(other))
    assert alike / all_notes > 0.97


def test_lanes_rise_with_pitch_within_a_riff(songs):
    for score, _ in songs:
        for riff in {placed.riff for part in ("lead", "bass") for placed in score.parts[part]}:
            lowest = [[chord[0] for chord in phrase] for phrase in riff_lanes(riff)]
            together = len({note.root for phrase in riff.phrases for note in phrase}) <= MANY_PITCHES
            groups = [range(len(riff.phrases))] if together else [[i] for i in range(len(riff.phrases))]
            for group in groups:
                pairs = {(note.root, lane) for i in group for note, lane in zip(riff.phrases[i], lowest[i])}
                roots = [root for root, _ in sorted(pairs)]
                assert len(set(roots)) == len(roots)
                assert [lane for _, lane in sorted(pairs)] == sorted(lane for _, lane in pairs)


def test_lanes_are_those_a_human_would_take():
    assert lanes(40, 40, 40, 40) == [0, 0, 0, 0]
    assert lanes(40, 43, 40, 45, 40, 46) == [0, 1, 0, 2, 0, 3]  # a pedal on green
    assert lanes(40, 42, 43, 45, 47) == [0, 1, 2, 3, 4]
    assert lanes(64, 67, 69, 71, 74) == [0, 1, 2, 3, 4]  # the same five lanes high up
    assert lanes(52, 52, 54) == [0, 0, 1]  # and from green on
    assert lanes(40, 52) == [0, 3]


def test_notes_that_follow_each_other_share_no_lane_when_pitches_are_many():
    roots = (40, 47, 41, 48, 43, 50, 45, 52)
    assert all(a != b for a, b in zip(lanes(*roots), lanes(*roots)[1:]))


def test_chords_by_size(songs):
    """Open power chords are two neighbours, octaves leave one out, palm-muted chords are single notes."""
    for score, chart in songs[:10]:
        charted = {note.tick: note.lanes for note in chart.tracks[Instrument.LEAD, Difficulty.EXPERT].notes}
        for placed in score.parts["lead"]:
            for note in placed.notes:
                low, *high = charted[note.time]
                spread = 0 if note.muted else {"single": 0, "fifth": 1}.get(note.shape, 2)
                assert high == ([low + spread] if spread else [])


def test_fast_runs_are_hammered_on_and_held_notes_sustained(songs):
    kinds, sustains = [], []
    for score, chart in songs:
        track = chart.tracks[Instrument.LEAD, Difficulty.EXPERT]
        for earlier, note in zip(track.notes, track.notes[1:]):
            if len(note.lanes) == 1 and note.tick - earlier.tick <= RESOLUTION // 4 and note.lanes != earlier.lanes:
                kinds.append(note.kind)
        lengths = {note.time: note for placed in score.parts["lead"] for note in placed.notes}
        for note in track.notes:
            written = lengths[note.tick]
            seconds = np.diff(score.tempo_map.seconds([note.tick, note.tick + written.length]))[0]
            if seconds > 0.5 and not written.muted:
                sustains.append(note.sustain > 0)
            assert not (written.muted and note.sustain)
    assert set(kinds) == {Kind.HOPO} and len(kinds) > 100
    assert np.mean(sustains) == 1.0 and len(sustains) > 100


def test_star_power_is_the_same_at_all_difficulties(songs):
    for _, chart in songs:
        for instrument, _ in chart.tracks:
            phrases = {chart.tracks[instrument, difficulty].star_power for difficulty in Difficulty}
            assert len(phrases) == 1


def test_thinning_takes_the_strongest_and_knows_that_phrases_repeat():
    bar = 4 * RESOLUTION
    sixteenths = tuple((i * 48, {0: 4, 8: 3, 4: 2, 12: 2}.get(i, int(i % 2 == 0))) for i in range(16))
    assert spaced(sixteenths, RESOLUTION, bar) == [0, 4, 8, 12]
    assert spaced(sixteenths, RESOLUTION // 2, bar) == list(range(0, 16, 2))
    assert spaced(((0, 4), (bar - 48, 0)), RESOLUTION // 2, bar) == [0]
