import numpy as np
import pytest

from tabhero_hf.arranging import arrange, climb, climb_onsets, holds, make_playable
from tabhero_hf.arranging.playability import FASTEST_LEAPS
from tabhero_hf.arranging.structure import find_sections
from tabhero_hf.charts import Difficulty, Instrument, Kind, Note, TempoMap, Track, check, mend, read_song
from tabhero_hf.charts.measures import Measures
from tabhero_hf.charts.star_power import place_star_power
from tabhero_hf.evaluation.metrics import on_grid_share, onset_f1

LEAD = Instrument.LEAD
EASY, MEDIUM, HARD, EXPERT = Difficulty
MAP = TempoMap(480, ((0, 120.0),))


def track(*notes, difficulty=EXPERT):
    return Track(LEAD, difficulty, tuple(notes))


def random_notes(rng, seconds, rate, difficulty):
    times = np.cumsum(rng.exponential(1 / rate, int(seconds * rate)))
    lanes = [tuple(np.unique(rng.integers(0, 5, rng.integers(1, 4))).tolist()) for _ in times]
    return [
        (float(time), lane, int(rng.integers(0, 8)), float(rng.choice([0, 0.1, 0.5, 2.0])))
        for time, lane in zip(times, lanes, strict=True)
    ]


@pytest.mark.parametrize("seed", range(8))
def test_whatever_was_heard_becomes_a_chart_without_problems(seed):
    rng = np.random.default_rng(seed)
    tempo_map = TempoMap(480, ((0, 137.0), (480 * 40, 93.0)), ((0, int(rng.choice([3, 4, 5])), 4),))
    keys = [(instrument, level) for instrument in (LEAD, Instrument.BASS) for level in Difficulty]
    notes = {key: random_notes(rng, 100, rng.uniform(0.5, 9), key[1]) for key in keys}
    chart = mend(arrange(notes, tempo_map, -0.7)).chart
    assert list(map(str, check(chart))) == []
    for instrument in (LEAD, Instrument.BASS):
        levels = {level: chart.tracks[instrument, level] for level in Difficulty}
        assert holds(levels)
        counts = [len(levels[level].notes) for level in Difficulty]
        assert counts == sorted(set(counts))


def test_nothing_heard_is_an_empty_chart():
    chart = arrange({(LEAD, EXPERT): [], (LEAD, EASY): []}, MAP)
    assert [len(one.notes) for one in chart.tracks.values()] == [0, 0] and chart.sections == ()


def test_a_note_on_tick_0_is_not_lost_to_rounding():
    heard = [(time, (0,), 0, 0.0) for time in (0.49, 0.50, 1.00, 1.50)]  # tick 0 is at 0.504 s
    chart = arrange({(LEAD, EXPERT): heard}, MAP, 0.504)
    assert [note.tick for note in chart.tracks[LEAD, EXPERT].notes] == [0, 480, 960]


def test_real_charts_heard_with_an_error_come_back(real_songs):
    for folder in sorted(path.parent for path in real_songs.glob("*/*/notes.mid")):
        human = read_song(folder).chart
        rng = np.random.default_rng(0)
        notes = {
            key: sorted((max(time + rng.normal(0, 0.01), 0.0), *rest) for time, *rest in human.to_seconds(*key))
            for key in human.tracks
        }
        chart = mend(arrange(notes, TempoMap(480, human.tempo_map.tempos))).chart
        assert list(map(str, check(chart))) == [], folder
        assert holds({level: one for (_, level), one in chart.tracks.items()}), folder
        ours, theirs = chart.to_seconds(LEAD, EXPERT), human.to_seconds(LEAD, EXPERT)
        assert onset_f1(theirs, ours) > 0.98, folder
        assert on_grid_share(ours, human.tempo_map) > 0.99, folder
        assert {event.tick for event in chart.sections} <= {
            Measures(chart.tempo_map).line(measure) for measure in range(500)
        }


def test_an_easier_note_goes_to_the_harder_ones_onset_or_goes():
    expert = track(*(Note(tick, (0,)) for tick in range(0, 9600, 240)))
    easy = track(Note(10, (1,)), Note(490, (2,)), Note(2000, (2,)), Note(3850, (0, 2)), difficulty=EASY)
    climbed = climb({EASY: easy, EXPERT: expert}, MAP)
    played = {note.tick: note.lanes for note in climbed[EASY].notes}
    assert played[0] == (1,) and played[480] == (2,) and played[3840] == (0,)
    assert 2000 not in played and holds(climbed)


def test_an_easier_difficulty_plays_where_the_harder_one_does():
    expert = track(*(Note(tick, (0,)) for tick in range(0, 1920 * 12, 240)))
    hard = track(*(Note(tick, (1,)) for tick in range(0, 1920 * 4, 480)), difficulty=HARD)
    climbed = climb({HARD: hard, EXPERT: expert}, MAP)
    assert climbed[HARD].notes[-1].tick > 1920 * 11


def test_an_easier_difficulty_is_not_left_far_behind():
    expert = track(*(Note(240 * i, (i % 5,)) for i in range(256)))  # eighths of 250 ms
    # A note in each measure: none of them is filled for having nothing.
    first = [Note(1920 * measure, (0,)) for measure in range(32)]
    tracks = {level: track(*first, difficulty=level) for level in (EASY, MEDIUM, HARD)}
    climbed = climb({**tracks, EXPERT: expert}, MAP)
    played = {level: [note.tick for note in climbed[level].notes] for level in climbed}
    assert holds(climbed)
    assert len(played[HARD]) == int(0.75 * 256)
    assert len(played[MEDIUM]) == int(0.65 * len(played[HARD]))
    # 300 ms let Easy have beats alone.
    assert 0.75 * len(played[MEDIUM]) <= len(played[EASY]) <= 0.95 * len(played[MEDIUM])
    assert sum(tick % 480 == 0 for tick in played[EASY]) > 0.9 * len(played[EASY])
    assert {tick for tick in range(0, 256 * 240, 480)} <= set(played[HARD])
    hard, medium = (climb({level: tracks[level], EXPERT: expert}, MAP)[level].notes for level in (HARD, MEDIUM))
    assert len(hard) == len(played[HARD]) and abs(len(medium) - len(played[MEDIUM])) < 2  # Hard or no Hard


def test_what_gaps_leave_room_for_is_filled_up():
    hard = track(*(Note(480 * beat + after, (beat % 5,)) for beat in range(64) for after in (0, 120)), difficulty=HARD)
    medium = track(*(Note(480 * beat + 120, (0,)) for beat in range(0, 64, 2)), difficulty=MEDIUM)
    played = [note.tick for note in climb({MEDIUM: medium, HARD: hard}, MAP)[MEDIUM].notes]
    # Of each beat's two onsets, 125 ms apart, one: more than half are due, and 160 ms allow no more.
    assert [tick // 480 for tick in played] == list(range(64))


def test_what_there_is_time_for_is_held():
    """At 120 BPM: a quarter, a sixteenth, an eighth of its own length, a note before a rest of ten beats, the last."""
    notes = track(
        Note(0, (0,)), Note(480, (1,)), Note(600, (2,)), Note(840, (3,), 120), Note(1080, (0, 1)), Note(5880, (2,))
    )
    held = [note.sustain for note in make_playable(notes, MAP).notes]
    assert held == [480 - 45, 0, 240 - 45, 120, 4 * 480, 0]
    # Fast songs have no time to hold an eighth, of 162 ms at 185 BPM.
    eighths = track(*(Note(240 * i, (0,)) for i in range(8)))
    assert not any(note.sustain for note in make_playable(eighths, TempoMap(480, ((0, 185.0),))).notes)


def test_onsets_climb_as_notes_do():
    bass, rng = Instrument.BASS, np.random.default_rng(0)
    onsets = {(LEAD, level): 120 * np.flatnonzero(rng.random(256) < 0.3) for level in Difficulty}
    onsets[bass, HARD] = np.arange(0, 9600, 40)  # 42 ms apart
    climbed = climb_onsets(onsets, MAP)
    lead = {
        level: track(*(Note(tick, (0,)) for tick in onsets[LEAD, level].tolist()), difficulty=level)
        for level in Difficulty
    }
    assert climbed.keys() == onsets.keys()
    for level, expected in climb(lead, MAP).items():
        assert climbed[LEAD, level].tolist() == [note.tick for note in expected.notes]
    assert 96 <= np.diff(climbed[bass, HARD]).min() and set(climbed[bass, HARD]) <= set(onsets[bass, HARD])


def test_one_riff_has_one_set_of_frets():
    riff = [2, 0, 1, 3, 1, 0, 2]
    notes = [Note(1920 * bar + 240 * step, (lane,)) for bar in range(8) for step, lane in enumerate(riff)]
    notes[9] = Note(notes[9].tick, (4,))
    notes[25] = Note(notes[25].tick, (0,))
    lanes = [note.lanes[0] for note in make_playable(track(*notes), MAP).notes]
    assert lanes == riff * 8


def test_measures_of_one_rhythm_are_other_riffs_on_other_frets():
    lanes = [0, 2, 1, 3, 0, 2, 1, 4] * 3
    notes = [Note(480 * beat, (lane,)) for beat, lane in enumerate(lanes)]
    assert [note.lanes[0] for note in make_playable(track(*notes, difficulty=EASY), MAP).notes] == lanes


def test_no_hand_has_to_leap():
    rng = np.random.default_rng(0)
    ticks = np.cumsum(rng.integers(40, 300, 500))
    notes = [Note(int(tick), (int(rng.integers(5)),)) for tick in ticks]
    played = make_playable(track(*notes), MAP).notes
    for before, note in zip(played, played[1:], strict=False):
        apart = float(MAP.seconds(note.tick) - MAP.seconds(before.tick))
        leap = abs(note.lanes[0] - before.lanes[0])
        assert all(apart >= seconds - 1e-9 for lanes, seconds in FASTEST_LEAPS.items() if leap >= lanes)


def test_hopos_are_where_fingers_can_make_them():
    notes = [Note(0, (0,), kind=Kind.HOPO), Note(120, (1,), kind=Kind.HOPO), Note(240, (1,), kind=Kind.HOPO)]
    notes += [Note(1920, (2,), kind=Kind.HOPO), Note(2040, (2,), kind=Kind.TAP)]
    kinds = [note.kind for note in make_playable(track(*notes), MAP).notes]
    assert kinds == [Kind.STRUM, Kind.HOPO, Kind.STRUM, Kind.STRUM, Kind.TAP]


@pytest.mark.parametrize("heard", [Kind.STRUM, Kind.HOPO])
def test_natural_hopos_are_hopos_whatever_else_was_heard(heard):
    notes = [
        Note(0, (0,)),
        Note(120, (1,)),
        Note(240, (1,)),
        Note(480, (2,)),
        Note(600, (0, 1)),
        Note(780, (0,), 0, heard),
    ]
    kinds = [note.kind for note in make_playable(track(*notes), MAP).notes]
    assert kinds == [Kind.STRUM, Kind.HOPO, Kind.STRUM, Kind.STRUM, Kind.STRUM, heard]
    easy = make_playable(track(*notes, difficulty=EASY), MAP)
    assert [note.kind for note in easy.notes] == [Kind.STRUM] * 5 + [heard]


@pytest.mark.parametrize(("bpm", "gap"), [(60.0, 30), (180.0, 60), (190.0, 75)])
def test_a_sustain_leaves_time_to_let_go(bpm, gap):
    notes = track(Note(0, (0,), 480), Note(480, (1,), 200), Note(600, (2,), 5))
    held = [note.sustain for note in make_playable(notes, TempoMap(480, ((0, bpm),))).notes]
    assert held == [480 - gap, 0, 0]


def song_of(parts, measures_a_part=8):
    """A song whose parts, by letter, each have a rhythm and frets of their own, and sound."""
    notes, sound = [], []
    for i, part in enumerate(parts):
        rng = np.random.default_rng(ord(part))
        riff = [(240 * step, (int(rng.integers(5)),)) for step in range(8) if rng.random() < 0.7 or step == 0]
        chroma = rng.random(12)
        for measure in range(i * measures_a_part, (i + 1) * measures_a_part):
            notes += [Note(1920 * measure + tick, lanes) for tick, lanes in riff]
            sound.append(chroma)
    return track(*notes), np.array(sound)


def test_sections_are_where_the_music_changes_and_what_comes_back_has_one_name():
    played, sound = song_of("iabababo")
    level = np.repeat([-20.0 if part != "b" else -10.0 for part in "iabababo"], 8)
    sections = find_sections({(LEAD, EXPERT): played}, Measures(MAP), sound, level)
    assert [section.first for section in sections] == list(range(0, 64, 8))
    names = [section.name for section in sections]
    assert names == ["Intro", "Verse 1", "Chorus 1", "Verse 2", "Chorus 2", "Verse 3", "Chorus 3", "Outro"]


def test_star_power_comes_in_whole_measures_all_through_the_song():
    played, sound = song_of("abababab")
    measures = Measures(MAP)
    sections = find_sections({(LEAD, EXPERT): played}, measures, sound)
    phrases = place_star_power(played, measures, [measures.line(section.first) for section in sections])
    starts = MAP.seconds([phrase.tick for phrase in phrases])
    assert len(phrases) >= 3 and (np.diff(starts) >= 30).all() and (np.diff(starts) <= 46).all()
    for phrase in phrases:
        assert phrase.tick % 1920 == 0 == phrase.end % 1920
        assert sum(note.tick in phrase for note in played.notes) >= 4
