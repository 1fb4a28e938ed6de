import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from datasets import get_dataset_split_names, load_dataset
from made_songs import EXPERT, LEAD, made_chart, made_song

from tabhero_hf.data.preparation import PreparationError, PreparationSettings, prepare_library
from tabhero_hf.data.publishing import published_extractor, push, write_card
from tabhero_hf.data.statistics import write_statistics


def prepare(songs, out):
    report = prepare_library(songs, out, PreparationSettings(splits=(0.5, 0.5, 0)))
    write_card(out, report, write_statistics(out))


@pytest.fixture
def songs(tmp_path):
    for seed in range(4):
        made_song(tmp_path / "songs" / f"song {seed}", seed)
    return tmp_path / "songs"


@pytest.fixture
def dataset(songs, tmp_path):
    prepare(songs, tmp_path / "out")
    return tmp_path / "out"


def test_a_folder_prepared_again_is_read_again(songs, tmp_path):
    # `datasets` knows a folder by its name and its files': it took the other's rows from its cache.
    chart = made_chart(seed=20)
    track = chart.tracks[LEAD, EXPERT]
    moved = replace(track.notes[0], lanes=((track.notes[0].lanes[0] + 1) % 5,))
    other = replace(chart, tracks={(LEAD, EXPERT): replace(track, notes=(moved, *track.notes[1:]))})
    for folder, charted in (("first", chart), ("second", other)):
        out = tmp_path / folder / "out"
        made_song(songs / "song 0", 0, charted)
        prepare(songs, out)
        rows = load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
        written = [row for path in sorted(out.glob("data/*/*.parquet")) for row in pq.read_table(path).to_pylist()]
        read = [row for split in rows.values() for row in split.to_list()]
        by_song = [{row["mel"]: row["charts"] for row in table} for table in (written, read)]
        assert by_song[0] == by_song[1]


def test_what_is_pushed_can_be_loaded_and_streamed(hub, dataset, songs):
    local = load_dataset(str(dataset))
    assert local.keys() == {"train", "validation"}
    assert sum(map(len, local.values())) == 4

    push(dataset, "publishing/songs", revision_tag="v1")
    assert get_dataset_split_names("publishing/songs") == ["train", "validation"]
    loaded, streamed = load_dataset("publishing/songs"), load_dataset("publishing/songs", streaming=True)
    for split, rows in local.items():
        assert loaded[split].features == streamed[split].features == rows.features
        assert loaded[split].to_list() == list(streamed[split]) == rows.to_list()

    # The next version is another commit, without what is gone, and the tag stays.
    first = hub.files("publishing/songs", repo_type="dataset")
    made_song(songs / "song 0", 10)
    prepare(songs, dataset)
    push(dataset, "publishing/songs", revision_tag="v2")
    second = hub.files("publishing/songs", repo_type="dataset")
    assert hub.files("publishing/songs", "v1", repo_type="dataset") == first != second
    paths = {path.relative_to(dataset).as_posix() for path in dataset.glob("data/*/*.parquet")}
    assert second.keys() == paths | {
        *(".gitattributes", "README.md", "preprocessor_config.json"),
        *("report.json", "statistics.csv", "statistics.png"),
    }
    tagged = load_dataset("publishing/songs", revision="v1")
    assert {split: rows.to_list() for split, rows in tagged.items()} == {s: r.to_list() for s, r in local.items()}


def test_one_command_prepares_and_pushes(hub, songs, tmp_path, monkeypatch, capsys):
    script = str(Path(__file__).parents[2] / "scripts" / "prepare_dataset.py")
    arguments = "songs out --splits 1,0,0 --workers 1 --push_to_hub publishing/command --revision_tag v1"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [script, *arguments.split()])
    runpy.run_path(script, run_name="__main__")
    assert "publishing/command/commit/" in capsys.readouterr().out
    assert load_dataset("publishing/command", split="train", revision="v1").num_rows == 4

    (tmp_path / "out" / "statistics.csv").unlink()
    monkeypatch.setattr(sys, "argv", [script, "stats", "out"])
    runpy.run_path(script, run_name="__main__")
    assert "| expert | 4 |" in capsys.readouterr().out and (tmp_path / "out" / "statistics.csv").exists()


def test_a_tag_that_is_there_is_not_moved(hub, dataset):
    push(dataset, "publishing/tagged", revision_tag="v1")
    with pytest.raises(PreparationError, match="publishing/tagged has a tag v1 already"):
        push(dataset, "publishing/tagged", revision_tag="v1")


def test_a_name_that_cannot_be(hub, dataset):
    with pytest.raises(PreparationError, match="cannot be pushed to"):
        push(dataset, "not//a name")


def test_a_hub_that_cannot_be_reached(dataset, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(PreparationError, match="cannot be pushed to"):
        push(dataset, "publishing/unreached")
    with pytest.raises(OSError):
        published_extractor("publishing/unreached")


def test_the_card_says_what_is_in_it(dataset):
    card = (dataset / "README.md").read_text(encoding="utf-8")
    report = json.loads((dataset / "report.json").read_text())
    for split in ("train", "validation"):
        row = report["splits"][split]
        assert f"| {split} | {row['songs']} | {row['charts']} | {row['hours']:.2f} | {row['notes']} |" in card
        assert f"path: data/{split}/*.parquet" in card
    assert "data/test" not in card
    assert "| expert | 4 |" in card and "(statistics.png)" in card
    assert "\nlicense:" not in card and "Music has owners" in card


def test_what_the_user_wrote_into_the_card_stays(songs, dataset):
    card = dataset / "README.md"
    card.write_text(
        card.read_text().replace("tags:", "license: cc-by-4.0\ntags:\n- mine", 1).replace("# out", "# My songs")
    )
    made_song(songs / "one more", 20)
    prepare(songs, dataset)
    text = card.read_text()
    assert "license: cc-by-4.0" in text and "- mine" in text and "# My songs" in text
    assert "| expert | 5 |" in text and "| expert | 4 |" not in text
    prepare(songs, dataset)
    assert card.read_text() == text

    card.write_text("# Without metadata\n")
    prepare(songs, dataset)
    assert card.read_text().startswith("---\nconfigs:") and "# Without metadata\n\n<!--" in card.read_text()
    card.write_text("---\n[unclosed\n---\n")
    with pytest.raises(PreparationError, match="README.md: its metadata cannot be read"):
        prepare(songs, dataset)
