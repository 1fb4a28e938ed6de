"""
A Hugging Face Hub on this machine, over HTTP: enough of it to push to and load from in tests.

    with LocalHub(folder) as hub:
        HfApi(endpoint=hub.url, token="local").create_repo("org/name")

Repositories live in memory and contents in a folder. Nothing depends on a clock: a commit's sha follows from its
parent, its message and its files, and all dates are the same. Missing: pull requests, discussions, private
repositories, deletion of anything but files, xet and search.
"""

import base64
import hashlib
import json
import re
import socketserver
import threading
import traceback
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote

DATE = "2026-01-01T00:00:00.000Z"
LFS_SUFFIXES = (".arrow", ".bin", ".gz", ".npy", ".npz", ".parquet", ".pt", ".safetensors", ".tar", ".wav", ".zip")
LFS_SIZE = 10 * 1024 * 1024
# What a new repository contains, as on the real Hub: loaders have to cope with a file that nobody pushed.
GIT_ATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()


@dataclass(frozen=True)
class Blob:
    """A file's content: `oid` is git's, of the content itself or of the pointer to a large file."""

    sha256: str
    size: int
    oid: str
    lfs: bool

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid


@dataclass(frozen=True)
class Commit:
    parent: "Commit | None"
    title: str
    message: str
    files: dict[str, Blob]

    @cached_property
    def oid(self) -> str:
        files = sorted((path, blob.oid) for path, blob in self.files.items())
        parent = self.parent.oid if self.parent else None
        return hashlib.sha1(json.dumps([parent, self.title, self.message, files]).encode()).hexdigest()


@dataclass
class Repository:
    kind: str  # "models", "datasets" or "spaces"
    name: str  # "org/name"
    branches: dict[str, Commit] = field(default_factory=dict)
    tags: dict[str, Commit] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)

    def commit(self, branch: str, commit: Commit) -> Commit:
        self.branches[branch] = self.commits[commit.oid] = commit
        return commit

    def at(self, revision: str) -> Commit:
        for names in (self.branches, self.tags, self.commits):
            if revision in names:
                return names[revision]
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")


@dataclass(frozen=True)
class Request:
    method: str
    query: dict[str, list[str]]
    range: str | None
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body or b"{}")


@dataclass(frozen=True)
class Reply:
    content: object = None  # bytes, or anything that JSON can say
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else json.dumps(self.content, default=str).encode()


class HubError(Exception):
    """An answer in the form that huggingface_hub turns into its own exceptions."""

    def __init__(self, status: int, message: str, code: str | None = None, headers: dict | None = None, **content):
        super().__init__(message)
        line = " ".join(message.encode("ascii", "replace").decode().split())  # what a header can hold
        headers = {"X-Error-Message": line, **({"X-Error-Code": code} if code else {}), **(headers or {})}
        self.reply = Reply({"error": message, **content}, status, headers)


# Ids are "org/name"; one without an organisation is looked up, and missing, like any other.
_API = r"/api/(?P<kind>models|datasets|spaces)/(?P<name>[^/]+(?:/[^/]+)?)"
_FILES = r"/(?:(?P<kind>datasets|spaces)/)?(?P<name>[^/]+(?:/[^/]+)?)"
_REVISION = r"/(?P<revision>[^/]+)"
_ROUTES = {
    "whoami": ("GET", r"/api/whoami-v2"),
    "create_repo": ("POST", r"/api/repos/create"),
    "validate_yaml": ("POST", r"/api/validate-yaml"),
    "tree": ("GET", rf"{_API}/tree{_REVISION}(?:/(?P<path>.+))?"),
    "paths_info": ("POST", rf"{_API}/paths-info{_REVISION}"),
    "refs": ("GET", rf"{_API}/refs"),
    "history": ("GET", rf"{_API}/commits{_REVISION}"),
    "create_branch": ("POST", rf"{_API}/branch/(?P<branch>[^/]+)"),
    "create_tag": ("POST", rf"{_API}/tag{_REVISION}"),
    "preupload": ("POST", rf"{_API}/preupload{_REVISION}"),
    "commit": ("POST", rf"{_API}/commit{_REVISION}"),
    "info": ("GET", rf"{_API}(?:/revision{_REVISION})?"),
    "lfs_batch": ("POST", rf"{_FILES}\.git/info/lfs/objects/batch"),
    "lfs_upload": ("PUT", r"/lfs/(?P<sha256>[0-9a-f]{64})"),
    "resolve": ("GET", rf"{_FILES}/resolve{_REVISION}/(?P<path>.+)"),
}
_PUBLIC = {"whoami", "validate_yaml", "paths_info", "lfs_upload"}  # need no token, and nor does reading


class LocalHub:
    """
    A Hub that answers at `url` between `start` and `stop`, or inside `with`.

    Args:
        folder: where contents are kept.

    `requests` lists what was asked of it, as `(method, path, status)`.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.requests: list[tuple[str, str, int]] = []
        self._repositories: dict[tuple[str, str], Repository] = {}
        self._lock = threading.Lock()
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> "LocalHub":
        # Polled for the end only, which otherwise takes half a second.
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="local-hub", daemon=True).start()
        return self

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> "LocalHub":
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def files(self, name: str, revision: str = "main", repo_type: str = "model") -> dict[str, bytes]:
        """The contents of a repository by path, without a request."""
        with self._lock:
            files = self._repository(f"{repo_type}s", name).at(revision).files
        return {path: self._content(blob) for path, blob in files.items()}

    def answer(self, method: str, target: str, headers, body: bytes) -> Reply:
        """One request at a time: what makes commits of several threads safe."""
        path, _, query = target.partition("?")
        with self._lock:
            try:
                reply = self._dispatch(path, Request(method, parse_qs(query), headers.get("Range"), body), headers)
            except HubError as error:
                reply = error.reply
            except Exception:  # not 500, which clients retry for half a minute
                reply = HubError(501, traceback.format_exc()).reply
            self.requests.append((method, unquote(path), reply.status))
        return reply

    def _dispatch(self, path: str, request: Request, headers) -> Reply:
        for action, (method, pattern) in _ROUTES.items():
            match = re.fullmatch(pattern, path)
            if match and method == ("GET" if request.method == "HEAD" else request.method):
                if method != "GET" and action not in _PUBLIC and "Authorization" not in headers:
                    raise HubError(401, "Invalid username or password.")
                groups = {key: unquote(text) for key, text in match.groupdict().items() if text is not None}
                if "name" in groups:
                    groups["repo"] = self._repository(groups.pop("kind", "models"), groups.pop("name"))
                return getattr(self, f"_{action}")(request, **groups)
        raise HubError(501, f"LocalHub does not know {request.method} {path}")

    def _repository(self, kind: str, name: str) -> Repository:
        if (kind, name) not in self._repositories:
            raise HubError(404, "Repository not found", "RepoNotFound")
        return self._repositories[kind, name]

    def _web_url(self, repo: Repository) -> str:
        return f"{self.url}/{'' if repo.kind == 'models' else repo.kind + '/'}{repo.name}"

    # Contents

    def _store(self, content: bytes, lfs: bool = False) -> Blob:
        sha256 = hashlib.sha256(content).hexdigest()
        (self.folder / sha256).write_bytes(content)
        return self._large(sha256, len(content)) if lfs else Blob(sha256, len(content), _git_oid(content), False)

    def _large(self, sha256: str, size: int) -> Blob:
        return Blob(sha256, size, _git_oid(_pointer(sha256, size)), True)

    def _content(self, blob: Blob) -> bytes:
        return (self.folder / blob.sha256).read_bytes()

    # Account and repositories

    def _whoami(self, request: Request) -> Reply:
        token = {"displayName": "local", "role": "write"}
        return Reply({"type": "user", "name": "local", "orgs": [], "auth": {"accessToken": token}})

    def _create_repo(self, request: Request) -> Reply:
        asked = request.json
        name = f"{asked.get('organization') or 'local'}/{asked['name']}"
        repo = Repository(f"{asked.get('type') or 'model'}s", name)
        url = self._web_url(repo)
        if (repo.kind, repo.name) in self._repositories:
            raise HubError(409, f"You already created this {repo.kind[:-1]} repo", url=url)
        self._repositories[repo.kind, repo.name] = repo
        repo.commit("main", Commit(None, "initial commit", "", {".gitattributes": self._store(GIT_ATTRIBUTES)}))
        return Reply({"url": url, "name": repo.name, "id": repo.name})

    def _validate_yaml(self, request: Request) -> Reply:
        _card_data(request.json["content"])
        return Reply({"errors": [], "warnings": []})

    def _info(self, request: Request, repo: Repository, revision: str = "main") -> Reply:
        commit = repo.at(revision)
        card = _card_data(self._content(commit.files["README.md"]).decode()) if "README.md" in commit.files else {}
        info = {
            "id": repo.name,
            "author": repo.name.split("/")[0],
            "sha": commit.oid,
            "private": False,
            "gated": False,
            "disabled": False,
            "createdAt": DATE,
            "lastModified": DATE,
            "tags": card.get("tags", []),
            "cardData": card,
            "siblings": [{"rfilename": path} for path in sorted(commit.files)],
        }
        return Reply(info | {key: card[key] for key in ("pipeline_tag", "library_name") if key in card})

    # Revisions

    def _refs(self, request: Request, repo: Repository) -> Reply:
        branches = [_ref(name, f"refs/heads/{name}", commit) for name, commit in repo.branches.items()]
        tags = [_ref(name, f"refs/tags/{name}", commit) for name, commit in repo.tags.items()]
        return Reply({"branches": branches, "converts": [], "tags": tags, "pullRequests": []})

    def _history(self, request: Request, repo: Repository, revision: str) -> Reply:
        commits, commit = [], repo.at(revision)
        while commit:
            author = {"user": "local"}
            commits.append(
                {"id": commit.oid, "title": commit.title, "message": commit.message, "date": DATE, "authors": [author]}
            )
            commit = commit.parent
        return Reply(commits)

    def _create_branch(self, request: Request, repo: Repository, branch: str) -> Reply:
        return self._point(repo.branches, branch, repo.at(request.json.get("startingPoint", "main")))

    def _create_tag(self, request: Request, repo: Repository, revision: str) -> Reply:
        return self._point(repo.tags, request.json["tag"], repo.at(revision))

    def _point(self, names: dict[str, Commit], name: str, commit: Commit) -> Reply:
        if name in names:
            raise HubError(409, f"Reference already exists: {name}")
        names[name] = commit
        return Reply({})

    # Reading

    def _tree(self, request: Request, repo: Repository, revision: str, path: str = "") -> Reply:
        entries = _entries(repo.at(revision))
        if path and entries.get(path, {}).get("type") != "directory":
            raise HubError(404, f"{path} does not exist on {revision!r}", "EntryNotFound")
        if request.query.get("recursive", ["false"])[0].lower() in ("1", "true"):
            return Reply([entry for name, entry in entries.items() if not path or name.startswith(f"{path}/")])
        return Reply([entry for name, entry in entries.items() if name.rpartition("/")[0] == path])

    def _paths_info(self, request: Request, repo: Repository, revision: str) -> Reply:
        entries = _entries(repo.at(revision))
        paths = [path.rstrip("/") for path in parse_qs(request.body.decode()).get("paths", [])]
        return Reply([entries[path] for path in paths if path in entries])

    def _resolve(self, request: Request, repo: Repository, revision: str, path: str) -> Reply:
        commit = repo.at(revision)
        headers = {"X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes"}
        if path not in commit.files:
            raise HubError(404, "Entry not found", "EntryNotFound", headers)
        blob = commit.files[path]
        headers |= {"ETag": f'"{blob.etag}"', "Content-Type": "application/octet-stream"}
        if blob.lfs:
            headers |= {"X-Linked-Etag": f'"{blob.etag}"', "X-Linked-Size": str(blob.size)}
        content = self._content(blob)
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.range or "")
        if not asked or not any(asked.groups()):
            return Reply(content, headers=headers)
        first, last = asked.groups()
        start = int(first) if first else max(0, blob.size - int(last))
        end = min(blob.size, int(last) + 1) if first and last else blob.size
        if start >= end:
            raise HubError(416, "Range not satisfiable", headers={"Content-Range": f"bytes */{blob.size}"})
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{blob.size}"
        return Reply(content[start:end], 206, headers)

    # Writing

    def _preupload(self, request: Request, repo: Repository, revision: str) -> Reply:
        files, answers = repo.at(revision).files, []
        for file in request.json["files"]:
            path = file["path"]
            large = path.endswith(LFS_SUFFIXES) or file["size"] > LFS_SIZE
            answer = {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
            # With the present oid, the client leaves out of a commit what has not changed.
            answers.append(answer | ({"oid": files[path].etag} if path in files else {}))
        return Reply({"files": answers})

    def _lfs_batch(self, request: Request, repo: Repository) -> Reply:
        objects = [{"oid": file["oid"], "size": file["size"]} for file in request.json["objects"]]
        for file in objects:
            if not (self.folder / file["oid"]).exists():
                file["actions"] = {"upload": {"href": f"{self.url}/lfs/{file['oid']}"}}
        return Reply({"transfer": "basic", "objects": objects})

    def _lfs_upload(self, request: Request, sha256: str) -> Reply:
        if hashlib.sha256(request.body).hexdigest() != sha256:
            raise HubError(400, f"The content sent is not that of {sha256}")
        self._store(request.body, lfs=True)
        return Reply()

    def _commit(self, request: Request, repo: Repository, revision: str) -> Reply:
        if "create_pr" in request.query:
            raise HubError(501, "LocalHub has no pull requests")
        if revision not in repo.branches:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        head = repo.branches[revision]
        header, *operations = [json.loads(line) for line in request.body.splitlines()]
        header = header["value"]
        if header.get("parentCommit") not in (None, head.oid):
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
        files = dict(head.files)
        for operation in operations:
            self._apply(files, operation["key"], operation["value"])
        commit = repo.commit(revision, Commit(head, header["summary"], header.get("description", ""), files))
        url = f"{self._web_url(repo)}/commit/{commit.oid}"
        return Reply({"success": True, "commitOid": commit.oid, "commitUrl": url, "hookOutput": ""})

    def _apply(self, files: dict[str, Blob], key: str, value: dict):
        path = value["path"]
        if key == "file":
            files[path] = self._store(base64.b64decode(value["content"]))
        elif key == "lfsFile":
            if not (self.folder / value["oid"]).exists():
                raise HubError(400, f"{path} was not uploaded before it was committed")
            files[path] = self._large(value["oid"], (self.folder / value["oid"]).stat().st_size)
        elif key == "deletedFile":
            if files.pop(path, None) is None:
                raise HubError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
        elif key == "deletedFolder":
            for name in [name for name in files if name.startswith(f"{path.rstrip('/')}/")]:
                del files[name]
        else:
            raise HubError(501, f"LocalHub does not know how to commit {key!r}")


def _git_oid(content: bytes, kind: str = "blob") -> str:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest()


def _pointer(sha256: str, size: int) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def _ref(name: str, ref: str, commit: Commit) -> dict:
    return {"name": name, "ref": ref, "targetCommit": commit.oid}


def _entries(commit: Commit) -> dict[str, dict]:
    """What the tree of a commit lists, by path, folders among the files."""
    entries = {}
    for path, blob in commit.files.items():
        entry = {"type": "file", "path": path, "size": blob.size, "oid": blob.oid}
        if blob.lfs:
            pointer_size = len(_pointer(blob.sha256, blob.size))
            entry["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": pointer_size}
        entries[path] = entry
        while path := path.rpartition("/")[0]:
            entries[path] = {"type": "directory", "path": path, "size": 0, "oid": _git_oid(path.encode(), "tree")}
    return dict(sorted(entries.items()))


def _card_data(card: str) -> dict:
    """The YAML at the head of a README, which clients have validated before they commit it."""
    import yaml  # huggingface_hub needs it too

    head = re.match(r"\s*---[\r\n]+(.*?)[\r\n]+---(?:\r?\n|$)", card, re.DOTALL)
    try:
        data = yaml.safe_load(head[1]) if head else {}
    except yaml.YAMLError as error:
        raise HubError(400, "Invalid YAML", errors=[{"message": str(error)}], warnings=[]) from None
    if not isinstance(data, dict | None):
        raise HubError(400, "Invalid YAML", errors=[{"message": "the metadata is not a mapping"}], warnings=[])
    return data or {}


class _Server(ThreadingHTTPServer):
    request_queue_size = 64

    def __init__(self, hub: LocalHub):
        self.hub = hub
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self):
        # HTTPServer would ask the network for the name of this machine.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one packet: apart, each answer waits some 40 ms for an acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True  # clients may leave in the middle of a file

    def _serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        reply = self.server.hub.answer(self.command, self.path, self.headers, body)
        self.send_response(reply.status)
        for name, value in ({"Content-Type": "application/json"} | reply.headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    do_GET = do_HEAD = do_POST = do_PUT = _serve

    def log_message(self, *_):
        """Silent: `LocalHub.requests` has it."""
