import json

import matplotlib.image
import pytest

from tabhero_hf.evaluation.report import leads, summarize, write_report


def row(system: str, song: str, score: float, difficulty: str = "expert") -> dict:
    key = {"system": system, "instrument": "lead", "difficulty": difficulty, "song": song}
    return {**key, "onset_f1_50": score, "note_f1": score / 2}


ROWS = [
    *(row("model", song, score) for song, score in [("a", 0.2), ("b", 0.4), ("c", 0.9)]),
    *(row("clicks", song, score) for song, score in [("a", 0.1), ("b", 0.3), ("c", 0.8)]),
    row("model", "a", 0.7, "easy"),
]


def test_means_are_over_the_songs_of_each_system_and_track():
    summary = summarize(ROWS)
    assert [(row["system"], row["difficulty"], row["songs"]) for row in summary] == [
        ("model", "expert", 3),
        ("clicks", "expert", 3),
        ("model", "easy", 1),
    ]
    assert summary[0]["onset_f1_50"]["mean"] == pytest.approx(0.5)
    assert summary[0]["note_f1"]["mean"] == pytest.approx(0.25)
    assert summary[1]["onset_f1_50"]["mean"] == pytest.approx(0.4)


def test_intervals_are_of_the_mean_of_songs_drawn_again():
    model, clicks, alone = (row["onset_f1_50"] for row in summarize(ROWS))
    # Of 27 draws of three songs one is thrice the first and one thrice the last, 3.7 % each: the interval has both.
    assert (model["low"], model["high"]) == pytest.approx((0.2, 0.9))
    # Systems are compared on the same draws.
    assert (clicks["low"], clicks["high"]) == pytest.approx((0.1, 0.8))
    assert alone == {"mean": 0.7, "low": 0.7, "high": 0.7}


def test_an_interval_narrows_with_the_songs_and_is_that_of_the_seed():
    many = [row("model", str(i), i % 2) for i in range(100)]
    (score,) = (entry["onset_f1_50"] for entry in summarize(many, seed=1))
    # Half of 100: the standard error is 0.05.
    assert (score["low"], score["high"]) == pytest.approx((0.4, 0.6), abs=0.02)
    assert summarize(many, seed=1) == summarize(many, seed=1)


def test_leads_are_song_by_song():
    """The model is ahead by 0.1 on each song, though the intervals of the means overlap."""
    (lead,) = leads(ROWS)
    assert (lead["system"], lead["difficulty"], lead["songs"]) == ("clicks", "expert", 3)
    assert lead["onset_f1_50"] == pytest.approx({"mean": 0.1, "low": 0.1, "high": 0.1})
    assert lead["note_f1"]["mean"] == pytest.approx(0.05)
    assert leads([*ROWS, row("clicks", "d", 0.0)])[0]["songs"] == 3


def test_the_report_is_written_in_three_forms(tmp_path):
    summary = write_report(tmp_path / "out", ROWS, {"model": "tiny"})
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert written == {"facts": {"model": "tiny"}, "summary": summary, "leads": leads(ROWS), "songs": ROWS}

    text = (tmp_path / "out" / "report.md").read_text()
    assert "- model: tiny\n" in text
    assert "## lead, expert: mean and 95 % interval over 3 songs" in text
    assert "|  | onset F1 @ 50 ms | note F1 |" in text
    assert "| clicks | 0.40 (0.10–0.80) | 0.20 (0.05–0.40) |" in text
    assert "Less the score of each other system, song by song, model:" in text
    assert "| clicks | 0.10 (0.10–0.10) | 0.05 (0.05–0.05) |" in text
    assert "| b | 0.40 | 0.20 |" in text
    assert "## lead, easy: scores of 1 song" in text and "| model | 0.70 | 0.35 |" in text

    picture = matplotlib.image.imread(tmp_path / "out" / "report.png")
    assert picture.shape[0] > 200 and picture.std() > 0.05
