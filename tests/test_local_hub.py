"""The Hub that other tests push to: what goes up comes down the same, and what is missing is missing as on the Hub."""

import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict, get_dataset_config_names, load_dataset
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    DatasetCard,
    HfApi,
    ModelCard,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from local_hub import LocalHub
from transformers import AutoConfig, AutoProcessor, AutoTokenizer, Trainer, TrainingArguments

from tabhero_hf import (
    TabHeroConfig,
    TabHeroFeatureExtractor,
    TabHeroForConditionalGeneration,
    TabHeroProcessor,
    TabHeroTokenizer,
)

CARD = "---\nlicense: mit\npipeline_tag: automatic-speech-recognition\ntags:\n- music\n---\n\n# A card\n"
REMOTE_CONFIG = """
from transformers import PreTrainedConfig
from .frets import FRETS

class ToyConfig(PreTrainedConfig):
    model_type = "toy-of-local-hub"
    frets = FRETS
"""


@pytest.fixture
def api(hub) -> HfApi:
    return HfApi()


def tiny_model(seed: int = 0) -> TabHeroForConditionalGeneration:
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    return TabHeroForConditionalGeneration(TabHeroConfig.from_size("tiny", **sizes))


def assert_same_weights(loaded: torch.nn.Module, pushed: torch.nn.Module):
    torch.testing.assert_close(loaded.state_dict(), pushed.state_dict(), rtol=0, atol=0)


def ten_rows(seed: int = 0) -> Dataset:
    generator = np.random.default_rng(seed)
    mels = [generator.normal(size=(row + 1, 4)).astype(np.float16).tobytes() for row in range(10)]
    return Dataset.from_dict({"song": [f"song {row}" for row in range(10)], "mel": mels})


def put(api: HfApi, repo: str, content: str, path: str = "a.txt", **kwargs) -> str:
    """Commits a text file and returns the sha."""
    operations = [CommitOperationAdd(path, content.encode())]
    return api.create_commit(repo, operations, commit_message=f"{path}: {content}", **kwargs).oid


def test_create_repo(hub, api):
    url = api.create_repo("org/created", repo_type="dataset")
    assert (url.repo_id, url.repo_type, url.url) == ("org/created", "dataset", f"{hub.url}/datasets/org/created")
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo("org/created", repo_type="dataset")
    assert api.create_repo("org/created", repo_type="dataset", exist_ok=True).repo_id == "org/created"
    assert api.create_repo("no-organisation").repo_id == f"{api.whoami()['name']}/no-organisation"
    assert api.repo_exists("org/created", repo_type="dataset") and not api.repo_exists("org/created")
    with pytest.raises(HfHubHTTPError, match="401"):
        HfApi(token=False).create_repo("org/nobody")


def test_a_folder_comes_back_the_same(hub, api, tmp_path):
    contents = {
        "README.md": CARD.encode(),
        "a/b/譜 &+#.txt": b"text",
        "empty": b"",
        "weights.bin": bytes(range(256)),
    }
    for path, content in contents.items():
        (tmp_path / "up" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "up" / path).write_bytes(content)
    api.create_repo("org/folder")
    commit = api.upload_folder(repo_id="org/folder", folder_path=tmp_path / "up")
    down = tmp_path / "down"
    snapshot_download("org/folder", local_dir=down)
    cached = snapshot_download("org/folder", allow_patterns=["a/*", "*.bin"])
    assert cached.endswith(commit.oid)
    for path, content in contents.items():
        assert (down / path).read_bytes() == hub.files("org/folder")[path] == content
    assert open(f"{cached}/a/b/譜 &+#.txt").read() == "text"
    info = api.model_info("org/folder")
    assert (info.sha, info.pipeline_tag, info.card_data.license) == (commit.oid, "automatic-speech-recognition", "mit")
    tree = {entry.path: entry for entry in api.list_repo_tree("org/folder", recursive=True)}
    assert tree.keys() == {".gitattributes", "a", "a/b", *contents}
    assert tree["weights.bin"].lfs.size == tree["weights.bin"].size == 256 and tree["README.md"].lfs is None
    assert [entry.path for entry in api.list_repo_tree("org/folder", "a")] == ["a/b"]
    assert [entry.path for entry in api.get_paths_info("org/folder", ["a", "empty", "none"])] == ["a", "empty"]


def test_large_and_binary_files_go_by_lfs(hub, api):
    api.create_repo("org/lfs")
    before = len(hub.requests)
    for path, content in [("large.txt", bytes(10 * 1024 * 1024 + 1)), ("t.safetensors", b"t"), ("small.txt", b"s")]:
        api.upload_file(path_or_fileobj=content, path_in_repo=path, repo_id="org/lfs")
        assert hub.files("org/lfs")[path] == content
    assert sum(method == "PUT" for method, _, _ in hub.requests[before:]) == 2
    # Contents that the Hub has are not sent again.
    api.upload_file(path_or_fileobj=b"t", path_in_repo="again.safetensors", repo_id="org/lfs")
    assert sum(method == "PUT" for method, _, _ in hub.requests[before:]) == 2
    with open(hf_hub_download("org/lfs", "again.safetensors"), "rb") as file:
        assert file.read() == b"t"


def test_deletion_and_commits_without_change(api):
    api.create_repo("org/deletion")
    put(api, "org/deletion", "1")
    second = put(api, "org/deletion", "2", "b.txt")
    assert put(api, "org/deletion", "1") == second
    operations = [CommitOperationDelete("a.txt"), CommitOperationAdd("c/d.txt", b"3")]
    api.create_commit("org/deletion", operations, commit_message="a goes, c comes")
    assert api.list_repo_files("org/deletion") == [".gitattributes", "b.txt", "c/d.txt"]
    api.delete_folder("c", repo_id="org/deletion")
    assert api.list_repo_files("org/deletion") == [".gitattributes", "b.txt"]
    with pytest.raises(EntryNotFoundError):
        api.delete_file("a.txt", repo_id="org/deletion")
    history = api.list_repo_commits("org/deletion")
    assert [commit.title for commit in history[1:]] == ["a goes, c comes", "b.txt: 2", "a.txt: 1", "initial commit"]


def test_revisions(api):
    api.create_repo("org/revisions")
    first = put(api, "org/revisions", "1")
    api.create_tag("org/revisions", tag="v1", tag_message="the first")
    api.create_branch("org/revisions", branch="next/try")
    second = put(api, "org/revisions", "2")
    third = put(api, "org/revisions", "3", revision="next/try")
    api.create_branch("org/revisions", branch="old", revision="v1")
    refs = api.list_repo_refs("org/revisions")
    assert {ref.name: ref.target_commit for ref in refs.branches} == {"main": second, "next/try": third, "old": first}
    assert [(ref.name, ref.ref, ref.target_commit) for ref in refs.tags] == [("v1", "refs/tags/v1", first)]
    for revision, content in {"main": "2", "v1": "1", "next/try": "3", first: "1", second: "2", third: "3"}.items():
        assert open(hf_hub_download("org/revisions", "a.txt", revision=revision)).read() == content
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_tag("org/revisions", tag="v1")
    api.create_tag("org/revisions", tag="v1", exist_ok=True)
    with pytest.raises(HfHubHTTPError, match="412"):
        put(api, "org/revisions", "4", parent_commit=first)


def test_what_is_missing(hub, api):
    api.create_repo("org/missing")
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("org/none", "a.txt")
    with pytest.raises(RepositoryNotFoundError):
        api.dataset_info("org/missing")
    with pytest.raises(EntryNotFoundError):
        hf_hub_download("org/missing", "譜.txt")
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree("org/missing", "譜"))
    for revision in ("none", "0" * 40):
        with pytest.raises(RevisionNotFoundError):
            hf_hub_download("org/missing", "a.txt", revision=revision)
    with pytest.raises(RevisionNotFoundError):
        snapshot_download("org/missing", revision="none")
    with pytest.raises(RevisionNotFoundError):
        api.upload_file(path_or_fileobj=b"", path_in_repo="a", repo_id="org/missing", revision="none")
    with pytest.raises(OSError, match="org/none"):
        AutoConfig.from_pretrained("org/none")
    with pytest.raises(HfHubHTTPError, match="501"):
        list(api.get_repo_discussions("org/missing"))


def test_commits_of_many_threads_are_all_there(api):
    api.create_repo("org/threads")
    with ThreadPoolExecutor(8) as pool:
        oids = set(pool.map(lambda index: put(api, "org/threads", "x", f"{index}.txt"), range(16)))
    assert {commit.commit_id for commit in api.list_repo_commits("org/threads")[:-1]} == oids
    assert len(oids) == 16 and len(api.list_repo_files("org/threads")) == 17


def test_the_same_commits_have_the_same_shas(api):
    for name in ("org/one", "org/two"):
        api.create_repo(name)
    assert put(api, "org/one", "1") == put(api, "org/two", "1")
    assert put(api, "org/one", "2") != put(api, "org/two", "3")
    assert put(api, "org/one", "4") != put(api, "org/two", "4")  # not the same parents


def test_cards(hub, api):
    for card, kind in ((ModelCard(CARD), "model"), (DatasetCard(CARD), "dataset")):
        api.create_repo("org/cards", repo_type=kind)
        card.validate()
        card.push_to_hub("org/cards")
        loaded = type(card).load("org/cards")
        assert (loaded.content, loaded.data.license) == (CARD, "mit")
    with pytest.raises(ValueError, match="metadata"):
        api.upload_file(path_or_fileobj=b"---\na: [\n---\n", path_in_repo="README.md", repo_id="org/cards")


def test_model_and_processor(hub, api):
    pushed = tiny_model()
    pushed.push_to_hub("org/model")
    TabHeroTokenizer().push_to_hub("org/model")
    TabHeroProcessor(TabHeroFeatureExtractor(max_frames=100, overlap_frames=20), TabHeroTokenizer()).push_to_hub(
        "org/model"
    )
    api.create_tag("org/model", tag="v1")
    changed = tiny_model(seed=1)
    changed.push_to_hub("org/model")
    assert_same_weights(TabHeroForConditionalGeneration.from_pretrained("org/model"), changed)
    assert_same_weights(TabHeroForConditionalGeneration.from_pretrained("org/model", revision="v1"), pushed)
    assert len(AutoTokenizer.from_pretrained("org/model")) == 740
    assert AutoProcessor.from_pretrained("org/model").feature_extractor.max_frames == 100


def test_trainer(hub, tmp_path):
    model = tiny_model()
    row = {"input_features": torch.zeros(104, 128), "labels": torch.tensor([3, 504, 2])}
    arguments = TrainingArguments(
        tmp_path, max_steps=1, use_cpu=True, push_to_hub=True, hub_model_id="org/trainer", hub_strategy="end"
    )
    trainer = Trainer(model, arguments, train_dataset=[row | {"difficulty_ids": 3, "instrument_ids": 0}] * 8)
    trainer.train()
    commit = trainer.push_to_hub()
    assert_same_weights(TabHeroForConditionalGeneration.from_pretrained("org/trainer", revision=commit.oid), model)
    assert "training_args.bin" in hub.files("org/trainer")


def test_remote_code(api, tmp_path):
    config = {"model_type": "toy-of-local-hub", "auto_map": {"AutoConfig": "configuration_toy.ToyConfig"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "configuration_toy.py").write_text(REMOTE_CONFIG)
    (tmp_path / "frets.py").write_text("FRETS = 5")
    api.create_repo("org/remote-code")
    api.upload_folder(repo_id="org/remote-code", folder_path=tmp_path)
    api.create_tag("org/remote-code", tag="five")
    api.upload_file(path_or_fileobj=b"FRETS = 6", path_in_repo="frets.py", repo_id="org/remote-code")
    for revision, frets in {"five": 5, "main": 6}.items():
        loaded = AutoConfig.from_pretrained("org/remote-code", revision=revision, trust_remote_code=True)
        assert type(loaded).__module__.startswith("transformers_modules.") and loaded.frets == frets


def test_dataset(hub):
    pushed = ten_rows()
    commit = pushed.push_to_hub("org/dataset")
    ten_rows(seed=1).push_to_hub("org/dataset")
    assert load_dataset("org/dataset", split="train").to_dict() == ten_rows(seed=1).to_dict()
    for revision in (commit.oid, "main"):
        rows = pushed if revision == commit.oid else ten_rows(seed=1)
        assert load_dataset("org/dataset", split="train", revision=revision)[:] == rows[:]
    before = len(hub.requests)
    streamed = load_dataset("org/dataset", split="train", streaming=True, revision=commit.oid)
    assert list(streamed) == list(pushed)
    answers = [(method, status) for method, path, status in hub.requests[before:] if path.endswith(".parquet")]
    assert ("GET", 206) in answers and ("GET", 200) not in answers


def test_dataset_with_configurations(hub):
    songs = DatasetDict({"train": ten_rows(2), "test": ten_rows(3)})
    songs.push_to_hub("org/songs", "songs")
    songs["test"].push_to_hub("org/songs", "windows", split="validation", num_shards=3)
    assert get_dataset_config_names("org/songs") == ["songs", "windows"]
    loaded = load_dataset("org/songs", "songs")
    assert {split: rows[:] for split, rows in loaded.items()} == {split: rows[:] for split, rows in songs.items()}
    assert load_dataset("org/songs", "windows", split="validation")[:] == songs["test"][:]
    assert list(load_dataset("org/songs", "windows", split="validation", streaming=True)) == list(songs["test"])
    assert sum(path.startswith("windows/") for path in hub.files("org/songs", repo_type="dataset")) == 3


@pytest.mark.parametrize("asked, status, content", [("2-4", 206, b"234"), ("7-", 206, b"789"), ("-2", 206, b"89")])
def test_ranges(hub, api, asked, status, content):
    api.create_repo("org/ranges", exist_ok=True)
    api.upload_file(path_or_fileobj=b"0123456789", path_in_repo="digits", repo_id="org/ranges")
    url = f"{hub.url}/org/ranges/resolve/main/digits"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Range": f"bytes={asked}"})) as answer:
        assert (answer.status, answer.read()) == (status, content)
    with pytest.raises(urllib.error.HTTPError, match="416"):
        urllib.request.urlopen(urllib.request.Request(url, headers={"Range": "bytes=10-"}))


def test_a_hub_of_its_own(tmp_path):
    with LocalHub(tmp_path / "hub") as hub:
        api = HfApi(endpoint=hub.url, token="local")
        api.create_repo("org/own")
        put(api, "org/own", "1")
        path = api.hf_hub_download("org/own", "a.txt", cache_dir=tmp_path / "cache")
        assert open(path).read() == "1"
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{hub.url}/api/whoami-v2")
