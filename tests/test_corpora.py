"""Prose to train on, and files that are fetched once."""

from __future__ import annotations

import hashlib
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tinygpt import corpora
from tinygpt.corpora import cache_folder, fetch, python_documentation, read_text, tiny_shakespeare
from tinygpt.text import split

PLAY = b"First Citizen:\nBefore we proceed any further, hear me speak.\n" * 100
SHA256 = hashlib.sha256(PLAY).hexdigest()


class Server(ThreadingHTTPServer):
    """A server of this machine with the play at /play.txt, and troubles at other addresses; it counts its answers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.answers = 0
        self.over = threading.Event()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.answers += 1
        if self.path == "/nothing.txt":
            self.send_error(404)
            return
        if self.path == "/nonsense.txt":
            self.wfile.write(b"Who's there?\r\n\r\n")
            return
        self.send_response(200)
        if self.path != "/endless.txt":
            self.send_header("Content-Length", str(len(PLAY)))
        self.end_headers()
        if self.path == "/silent.txt":
            self.wfile.flush()
            self.server.over.wait(10)  # seconds, so that a client without patience of its own does not hang for ever
        self.wfile.write(PLAY if self.path in ("/play.txt", "/endless.txt") else PLAY[: len(PLAY) // 2])

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address where nobody listens."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as closed:
        return closed.url("play.txt")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "of" / "mine"


def files(folder: Path) -> list[str]:
    """The names of all that is in a folder, drafts included."""
    return sorted(file.name for file in folder.iterdir())


# --- fetch ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["play.txt", "endless.txt"], ids=["of known length", "of unknown length"])
@pytest.mark.parametrize("chunk", [1 << 20, 7])
def test_a_file_is_fetched_whole(
    name: str, chunk: int, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpora, "_CHUNK", chunk)
    assert fetch(server.url(name), SHA256, cache).read_bytes() == PLAY
    assert files(cache) == [name]


def test_a_file_is_fetched_once(server: Server, cache: Path) -> None:
    assert [fetch(server.url("play.txt"), SHA256, cache) for _ in range(2)] == [cache / "play.txt"] * 2
    assert server.answers == 1


def test_a_file_that_is_there_needs_no_network(nowhere: str, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "play.txt").write_bytes(PLAY)
    assert fetch(nowhere, SHA256, cache) == cache / "play.txt"


def test_a_file_is_kept_in_the_users_cache_folder(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert fetch(server.url("play.txt"), SHA256) == tmp_path / "tinygpt" / "play.txt"


def test_without_a_word_on_caches_they_are_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "tinygpt"


def test_a_file_of_this_machine_can_be_fetched(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "play.txt").write_bytes(PLAY)
    assert fetch((tmp_path / "play.txt").as_uri(), SHA256, cache).read_bytes() == PLAY


def test_another_file_than_expected_is_not_kept(server: Server, cache: Path) -> None:
    says = rf"/play\.txt must have the sha256 {'0' * 64}, but its {len(PLAY)} bytes have {SHA256}: try again$"
    with pytest.raises(ValueError, match=says):
        fetch(server.url("play.txt"), "0" * 64, cache)
    assert files(cache) == []


def test_another_file_in_the_cache_is_left_alone(server: Server, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "play.txt").write_bytes(b"my own play")
    with pytest.raises(ValueError, match=rf"play\.txt must have the sha256 {SHA256}, got .*: delete it, to fetch it "):
        fetch(server.url("play.txt"), SHA256, cache)
    assert ((cache / "play.txt").read_bytes(), server.answers) == (b"my own play", 0)


def assert_cannot_be_fetched(url: str, cache: Path, because: str) -> None:
    where = re.escape(str(cache / Path(url).name))
    with pytest.raises(ConnectionError, match=rf"^{url} must be there to fetch, but .*{because}.*: try again, or put "):
        fetch(url, SHA256, cache)
    with pytest.raises(ConnectionError, match=rf" put the file at {where}$"):
        fetch(url, SHA256, cache)
    assert files(cache) == []


def test_a_transfer_that_breaks_off_leaves_nothing(server: Server, cache: Path) -> None:
    assert_cannot_be_fetched(server.url("half.txt"), cache, f"broke off {len(PLAY) // 2} bytes before its end")


def test_a_file_that_a_server_does_not_have_leaves_nothing(server: Server, cache: Path) -> None:
    assert_cannot_be_fetched(server.url("nothing.txt"), cache, "404")


def test_an_answer_that_is_no_http_leaves_nothing(server: Server, cache: Path) -> None:
    assert_cannot_be_fetched(server.url("nonsense.txt"), cache, "Who's there")


def test_a_server_that_falls_silent_leaves_nothing(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpora, "TIMEOUT", 0.1)
    assert_cannot_be_fetched(server.url("silent.txt"), cache, "timed out")


def test_no_server_leaves_nothing(nowhere: str, cache: Path) -> None:
    assert_cannot_be_fetched(nowhere, cache, "refused")


def test_being_stopped_in_the_middle_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(url: str, file: Path) -> Iterator[bytes]:
        yield PLAY
        raise KeyboardInterrupt

    monkeypatch.setattr(corpora, "_download", stopped)
    with pytest.raises(KeyboardInterrupt):
        fetch("play.txt", SHA256, cache)
    assert files(cache) == []


def test_a_file_is_written_as_it_comes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []

    def watched(url: str, file: Path) -> Iterator[bytes]:
        for _ in range(3):
            yield bytes(1 << 20)
            lengths.append([part.stat().st_size for part in cache.iterdir()])

    monkeypatch.setattr(corpora, "_download", watched)
    fetch("zeros", hashlib.sha256(bytes(3 << 20)).hexdigest(), cache)
    assert lengths == [[1 << 20], [2 << 20], [3 << 20]]


# --- Shakespeare ------------------------------------------------------------------------------------------------------


@pytest.fixture
def short_play(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpora, "SHAKESPEARE_SHA256", SHA256)


@pytest.mark.usefixtures("short_play")
def test_shakespeare_is_read_from_where_he_is_fetched(server: Server, cache: Path) -> None:
    assert tiny_shakespeare(cache, server.url("play.txt")) == PLAY.decode()


@pytest.mark.usefixtures("short_play")
def test_shakespeare_has_a_folder_of_his_own(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tiny_shakespeare(url=server.url("play.txt"))
    assert files(tmp_path / "tinygpt" / "tinyshakespeare") == ["play.txt"]


@pytest.mark.usefixtures("short_play")
def test_without_a_network_the_error_says_where_to_put_the_file(nowhere: str, cache: Path) -> None:
    with pytest.raises(ConnectionError, match=r"; or take another text with read_text\(path\)$") as caught:
        tiny_shakespeare(cache, nowhere)
    place = re.search("put the file at (.*);", str(caught.value))
    assert place
    Path(place[1]).write_bytes(PLAY)
    assert tiny_shakespeare(cache, nowhere) == PLAY.decode()


def test_nothing_else_is_taken_for_shakespeare(server: Server, cache: Path) -> None:
    with pytest.raises(
        ValueError, match=f"must have the sha256 {corpora.SHAKESPEARE_SHA256}, but its 6100 bytes have "
    ):
        tiny_shakespeare(cache, server.url("play.txt"))


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw", [b"\xc3\xa9\na\n", b"\xc3\xa9\r\na\r\n", b"\xef\xbb\xbf\xc3\xa9\na\n"], ids=["plain", "from DOS", "marked"]
)
def test_a_text_is_read_as_utf_8(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(raw)
    assert read_text(tmp_path / "text.txt") == "é\na\n"


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", r"text\.txt must hold a text, but it is empty: take another file$"),
        (b"caf\xe9 noir", r"text\.txt must be text in UTF-8, but its byte 3 is not: save it as UTF-8$"),
    ],
    ids=["empty", "in latin-1"],
)
def test_a_file_that_is_no_text_is_refused(raw: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(raw)
    with pytest.raises(ValueError, match=says):
        read_text(str(tmp_path / "text.txt"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"text\.txt must be a text file, but there is none: check the path$"):
        read_text(tmp_path / "text.txt")


# --- Python's manual --------------------------------------------------------------------------------------------------


def test_the_end_of_pythons_manual_hardly_repeats_what_came_before() -> None:
    length = 100  # characters: a phrase of the trade may be repeated, a paragraph should not
    training, validation = split(python_documentation())
    seen = {training[i : i + length] for i in range(len(training) - length)}
    repeated = [i for i in range(len(validation) - length) if validation[i : i + length] in seen]
    assert len(repeated) < len(validation) / 100  # none in Python 3.11 to 3.13; with the parts left in, a twelfth


def test_pythons_manual_has_every_topic_in_its_words() -> None:
    from pydoc_data.topics import topics

    manual = re.sub(r"\W+", " ", python_documentation())
    assert [topic for topic, text in topics.items() if re.sub(r"\W+", " ", text) not in manual] == []


def test_a_topic_within_another_is_left_out_and_the_rest_is_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    topics = {"b": "Loops\n*****\nround\n", "c": "Flow\n****\n\nLoops\n=====\nround\n", "a": "Yes.\n", "d": "Yes.\n"}
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", SimpleNamespace(topics=topics))  # type: ignore[arg-type]
    assert python_documentation() == "Yes.\n\nFlow\n****\n\nLoops\n=====\nround\n"


def test_python_without_its_manual_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)  # type: ignore[arg-type]
    with pytest.raises(ModuleNotFoundError, match=r"^Python must come with its help, .*: install .*read_text\(path\)$"):
        python_documentation()
