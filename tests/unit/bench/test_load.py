import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from bench import page
from bench.failures import BenchError
from bench.load import Load
from bench.scraper import Scraper

Serve = Callable[[bytes], int]

BODY = b"x" * 100
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + BODY


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve one fixed answer to every request, on a port of its own, until the test ends."""
    listeners: list[socket.socket] = []

    def start(answer: bytes) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=accept, args=(listener, answer), daemon=True).start()
        return int(listener.getsockname()[1])

    def accept(listener: socket.socket, answer: bytes) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(connection, answer), daemon=True).start()

    def talk(connection: socket.socket, answer: bytes) -> None:
        with connection:
            try:
                while connection.recv(65536):
                    connection.sendall(answer)
                    if not answer.startswith(b"HTTP") or b"Connection: close" in answer:
                        return
            except OSError:
                return

    yield start
    for listener in listeners:
        # wakes the thread in accept(), which a close alone would not
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.fixture
def every_page_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "check", lambda answer, _waited: answer.body)


def test_good_answers_are_counted(serve: Serve, every_page_good: None) -> None:
    result = Load(serve(GOOD), connections=4, least_bytes=100).run(0.05)
    assert result.good > 4
    assert result.good == len(result.latencies)
    assert not result.errors


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "status 503"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!", "short answer"),
        (b"nonsense\r\n\r\n", "no HTTP/1.1 answer"),
        (b"", "hung up"),
    ],
    ids=["status", "short", "nonsense", "hung up"],
)
def test_a_bad_answer_is_an_error_and_never_good(
    serve: Serve, every_page_good: None, answer: bytes, error: str
) -> None:
    result = Load(serve(answer), connections=2, least_bytes=100).run(0.05)
    assert result.good == 0
    assert result.errors.total() > 0
    assert all(kind.startswith(error) for kind in result.errors)


def test_a_page_that_judges_badly_is_an_error(serve: Serve) -> None:
    result = Load(serve(GOOD), connections=1, least_bytes=100).run(0.05)
    assert any(kind.startswith("the page is wrong") for kind in result.errors)


def test_a_scraper_connects_again_when_the_server_hung_up_idle(serve: Serve) -> None:
    port = serve(GOOD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    scraper = Scraper(port)
    assert [scraper.scrape().body for _ in range(3)] == [BODY] * 3
    scraper.close()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", "status 503: b'busy'"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nhalf", "hung up after"),
        (b"", "hung up without an answer"),
    ],
    ids=["status", "half", "nothing"],
)
def test_a_scraper_says_what_came_instead(serve: Serve, answer: bytes, words: str) -> None:
    scraper = Scraper(serve(answer))
    with pytest.raises(BenchError, match=words):
        scraper.scrape()
    scraper.close()
