from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabhero_hf.charts import Chart, Difficulty, Event, Instrument, Kind, Note, Phrase, TempoMap, Track
from tabhero_hf.charts.check import holds_notes
from tabhero_hf.charts.region import with_region

LEAD, BASS = Instrument.LEAD, Instrument.BASS
HARD, EXPERT = Difficulty.HARD, Difficulty.EXPERT


def track(instrument, difficulty, ticks, lane=0, sustain=0, **fields) -> Track:
    return Track(instrument, difficulty, tuple(Note(tick, (lane,), sustain) for tick in ticks), **fields)


# 120 BPM, 192 ticks a beat: 384 ticks a second.
OWN = Chart(
    TempoMap(192),
    {
        (LEAD, EXPERT): track(LEAD, EXPERT, range(0, 3840, 96), star_power=(Phrase(384, 96),)),
        (LEAD, HARD): track(LEAD, HARD, range(0, 3840, 192)),
        (BASS, EXPERT): track(BASS, EXPERT, range(0, 3840, 384)),
    },
    sections=(Event(0, "Intro"),),
    offset=0.5,
)
# Half the tempo and other ticks, tick 0 a second later.
NEW = Chart(
    TempoMap(480, ((0, 60.0),)),
    {
        (LEAD, EXPERT): track(LEAD, EXPERT, range(0, 4800, 160), 4, 80),
        (LEAD, HARD): track(LEAD, HARD, range(0, 4800, 480), 3),
        (Instrument.KEYS, EXPERT): track(Instrument.KEYS, EXPERT, range(0, 4800, 480)),
    },
    sections=(Event(0, "Verse"),),
    offset=1.5,
)


@given(st.integers(0, 12_000), st.integers(10, 12_000))
def test_notes_are_the_others_in_the_region_and_its_own_elsewhere(start_ms, length_ms):
    start, end = start_ms / 1000, (start_ms + length_ms) / 1000
    changed = with_region(OWN, NEW, start, end)
    assert replace(changed, tracks=OWN.tracks) == OWN
    assert changed.tracks.keys() == OWN.tracks.keys()
    assert changed.tracks[BASS, EXPERT] == OWN.tracks[BASS, EXPERT]
    half_a_tick = 0.5 / 384
    for key in ((LEAD, EXPERT), (LEAD, HARD)):
        ticks = [note.tick for note in changed.tracks[key].notes]
        own = OWN.tracks[key].star_power
        assert changed.tracks[key].star_power == tuple(phrase for phrase in own if holds_notes(phrase, ticks))
        outside, inside = [], []
        for note in changed.to_seconds(*key):
            (inside if start <= note[0] < end else outside).append(note)
        assert outside == [note for note in OWN.to_seconds(*key) if not start <= note[0] < end]
        new = [note for note in NEW.to_seconds(*key) if start <= note[0] < end]
        at_the_edges = [n for n in NEW.to_seconds(*key) if min(abs(n[0] - start), abs(n[0] - end)) < 2e-3]
        assert abs(len(inside) - len(new)) <= len(at_the_edges)
        times = [note[0] for note in NEW.to_seconds(*key)]
        assert all(min(abs(note[0] - time) for time in times) <= half_a_tick + 1e-9 for note in inside)
        assert all(note[0] + note[3] <= end + 1 / 384 for note in inside)


def test_a_sustain_that_reaches_into_the_region_ends_there_and_kinds_stay():
    held = Track(LEAD, EXPERT, (Note(0, (0, 2), 1920, lane_sustains=(1920, 960)), Note(1920, (1,))))
    tapped = Track(LEAD, EXPERT, (Note(1000, (3,), 0, Kind.TAP), Note(1000 + 384, (4,), 0, Kind.HOPO)))
    own, new = (Chart(TempoMap(192), {(LEAD, EXPERT): notes}) for notes in (held, tapped))
    changed = with_region(own, new, 2.0, 4.0).tracks[LEAD, EXPERT].notes
    # 2 s are 768 ticks; letting go takes 40 ms, which are 15.4.
    assert changed == (Note(0, (0, 2), 752), *tapped.notes, Note(1920, (1,)))
    brief = own.tracks[LEAD, EXPERT]
    brief = replace(own, tracks={(LEAD, EXPERT): replace(brief, notes=(Note(720, (1,), 400), *brief.notes[1:]))})
    assert with_region(brief, new, 2.0, 4.0).tracks[LEAD, EXPERT].notes[0] == Note(720, (1,))


def test_phrases_go_with_their_last_notes():
    key = (LEAD, EXPERT)
    phrases = Phrase(768, 96), Phrase(1920, 96), Phrase(9600, 96)  # the last one has never had any
    own = replace(OWN, tracks={key: replace(OWN.tracks[key], star_power=phrases, solos=phrases)})
    silent = replace(OWN, tracks={key: replace(OWN.tracks[key], notes=())})
    changed = with_region(own, silent, 2.4, 3.5).tracks[key]
    assert changed.star_power == changed.solos == phrases[1:]


def test_what_is_heard_before_the_chart_begins_is_passed_over():
    late = replace(OWN, offset=3.0)  # tick 0 comes when three notes of the new chart are over
    changed = with_region(late, NEW, 4.0, 5.0)
    assert changed.tracks[LEAD, EXPERT].notes[:4] == late.tracks[LEAD, EXPERT].notes[:4]
    assert {note.lanes for note in changed.tracks[LEAD, EXPERT].notes} == {(0,), (4,)}


def test_what_cannot_be_changed_is_refused():
    for start, end in ((2.0, 2.0), (3.0, 1.0), (-1.0, 2.0)):
        with pytest.raises(ValueError, match="nothing"):
            with_region(OWN, NEW, start, end)
    with pytest.raises(ValueError, match="nothing of what is asked for"):
        with_region(OWN, Chart(TempoMap(192)), 0.0, 1.0)
