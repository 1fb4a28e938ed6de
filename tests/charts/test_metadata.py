import pytest

from tabhero_hf.charts import Chart, Difficulty, Instrument, Note, Phrase, TempoMap, Track
from tabhero_hf.charts.metadata import DEFAULT_METADATA, difficulty_estimate, ini_values, song_metadata

NAMED = {**DEFAULT_METADATA, "name": "x"}


def chart_of(*instruments, notes=20, bpm=120.0, solos=(), offset=0.0):
    notes = tuple(Note(480 + 240 * i, (0,)) for i in range(notes))
    tracks = [Track(instrument, Difficulty.EXPERT, notes, solos=solos) for instrument in instruments]
    return Chart(TempoMap(480, ((0, bpm),)), {(t.instrument, t.difficulty): t for t in tracks}, offset=offset)


def test_more_notes_are_harder():
    charts = [chart_of(Instrument.LEAD, notes=1000, bpm=bpm) for bpm in (15, 45, 75, 120, 150, 210, 360)]
    assert [difficulty_estimate(chart, Instrument.LEAD) for chart in charts] == [0, 1, 2, 3, 4, 5, 6]
    assert difficulty_estimate(charts[0], Instrument.BASS) == -1


def test_what_is_charted_has_a_difficulty_and_nothing_else():
    values = ini_values(chart_of(Instrument.COOP, Instrument.GHL_BASS), {**NAMED, "diff_drums": "5"})
    diffs = {key: value for key, value in values.items() if key.startswith("diff_")}
    assert diffs.pop("diff_guitar_coop") == diffs.pop("diff_bassghl") == 2
    assert diffs == dict.fromkeys(("diff_guitar", "diff_bass", "diff_rhythm", "diff_keys"), -1)


@pytest.mark.parametrize(("known", "written"), [("5", 5), ("0", 0), ("-1", 2), ("", 2), ("hard", 2)])
def test_a_humans_estimate_goes_before_ours(known, written):
    assert ini_values(chart_of(Instrument.LEAD), {**NAMED, "diff_guitar": known})["diff_guitar"] == written


def test_lengths_come_from_where_they_are_known():
    chart = chart_of(Instrument.LEAD)
    lengths = [
        ini_values(chart, {**NAMED, **known}, song_length=given)["song_length"]
        for known, given in (({}, None), ({"song_length": "-1"}, None), ({"song_length": "9000"}, None), ({}, 1.5))
    ]
    assert lengths == [500 + 19 * 250, 500 + 19 * 250, 9000, 1500]
    previews = [ini_values(chart, {**NAMED, "preview_start_time": t}, song_length=9)["preview_start_time"] for t in
                ("-1", "nan", "1234")]  # fmt: skip
    assert previews == [3000, 3000, 1234]


def test_other_keys_are_kept_but_none_that_changes_how_the_chart_reads():
    kept = {"loading_phrase": "Hi = 100 %", "icon": "x", "playlist": "p", "track": "3", "video_start_time": "-1"}
    dropped = dict.fromkeys(
        ("hopo_frequency", "eighthnote_hopo", "sustain_cutoff_threshold", "chord_snap_threshold", "delay",
         "multiplier_note", "musicstream", "offset", "resolution", "[song]", "#a", "a\nb", ""), "1"
    )  # fmt: skip
    values = ini_values(chart_of(Instrument.LEAD), {**NAMED, **kept, **dropped})
    assert values.items() >= kept.items()
    assert not values.keys() & dropped.keys()


def test_midi_needs_its_offset_and_its_solos_told():
    chart = chart_of(Instrument.LEAD, solos=(Phrase(480, 960),), offset=-0.25)
    values = ini_values(chart, {**NAMED, "delay": "7"}, midi=True)
    assert (values["delay"], values["multiplier_note"]) == (-250, 116)
    plain = ini_values(chart_of(Instrument.LEAD), NAMED, midi=True)
    assert not plain.keys() & {"delay", "multiplier_note"}


def test_what_tells_of_the_chart_is_not_the_songs():
    assert song_metadata({"name": "x", "charter": "y", "diff_guitar": "3", "icon": "z"}) == {"name": "x", "icon": "z"}
