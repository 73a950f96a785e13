"""Addresses: only public ones, only so long, only so much."""

import pytest
from hostile_server import hang, reply, serve, status

from catdog_helpers import web
from catdog_helpers.web import fetch_photograph, is_public

PRIVATE = [
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2001:0:7f00:1::",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_of_the_internet(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
def test_an_address_of_the_internet(address):
    assert is_public(address)


@pytest.fixture
def only_server_allowed(monkeypatch):
    """Take this machine's server for a public one, and nothing else."""
    monkeypatch.setattr(web, "is_public", lambda ip: ip == "127.0.0.1")


def refused(url: str) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        fetch_photograph(url)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "10.1.1.1", "2130706433", "0"]
)
def test_this_machine_and_its_network_are_refused(host):
    with serve(reply(b"secret")) as server:
        url = f"https://{host}:{server.server_port}/a.jpg"
        assert "no public address" in refused(url)
        assert server.requests == []


def test_plain_http_is_refused():
    with serve(reply(b"secret")) as server:
        assert "no public address" in refused(f"{server.address}/a.jpg")
        assert server.requests == []
    assert "https://" in refused("http://example.com/a.jpg")
    assert "cannot be fetched" in refused("file:///etc/passwd")


@pytest.mark.parametrize(
    "target",
    [
        "https://169.254.169.254/latest/meta-data",
        "https://192.168.0.1/a.jpg",
        "https://[fd00:ec2::254]/a.jpg",
        "//10.0.0.1/a.jpg",
        "http://example.com/a.jpg",
        "file:///etc/passwd",
    ],
)
def test_each_redirect_is_checked(only_server_allowed, target):
    hop = status(302, Location="/again")
    with serve(hop, status(302, Location=target)) as server:
        reason = refused(f"{server.address}/a.jpg")
        assert len(server.requests) == 2
    assert any(w in reason for w in ("no public", "https", "InvalidSchema"))


def test_redirects_end(only_server_allowed):
    with serve(status(302, Location="/round")) as server:
        assert "TooManyRedirects" in refused(f"{server.address}/a.jpg")
        assert len(server.requests) <= 7


def test_the_address_that_was_checked_is_the_one_connected_to(monkeypatch):
    """A name that leads elsewhere the second time is asked only once."""
    looked_up, connected = [], []

    def getaddrinfo(host, port, **_):
        looked_up.append(host)
        ip = "8.8.8.8" if len(looked_up) == 1 else "127.0.0.1"
        return [(2, 1, 6, "", (ip, port))]

    def connect(address, timeout):
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(web.socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(web.socket, "create_connection", connect)
    assert "cannot be fetched" in refused("https://rebinding.example/a.jpg")
    assert looked_up == ["rebinding.example"]
    assert connected == [("8.8.8.8", 443)]


def test_one_private_answer_among_public_ones_is_enough(monkeypatch):
    found = [(2, 1, 6, "", (ip, 443)) for ip in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(web.socket, "getaddrinfo", lambda *_, **__: found)
    assert "no public address" in refused("https://both.example/a.jpg")


def test_a_photograph_comes_whole(only_server_allowed):
    body = bytes(range(256)) * 1000
    with serve(reply(body), reply(body, chunked=True)) as server:
        for _ in range(2):
            assert fetch_photograph(f"{server.address}/a.jpg") == body
        _, headers = server.requests[0]
        assert {"Cookie", "Authorization"} & set(headers) == set()


@pytest.mark.parametrize("chunked", [False, True])
def test_more_bytes_than_a_photograph_has(
    only_server_allowed, monkeypatch, chunked
):
    monkeypatch.setattr(web, "MAX_BYTES", 100_000)
    with serve(reply(bytes(10**6), chunked=chunked)) as server:
        assert "too large" in refused(f"{server.address}/a.jpg")


def test_a_server_that_never_answers(only_server_allowed, monkeypatch):
    monkeypatch.setattr(web, "TIMEOUT", (1, 0.2))
    with serve(hang) as server:
        assert "ReadTimeout" in refused(f"{server.address}/a.jpg")


def test_a_server_that_drips(only_server_allowed, monkeypatch):
    monkeypatch.setattr(web, "SECONDS", 0.5)
    with serve(reply(bytes(10**7), pause=0.1)) as server:
        assert "too slow" in refused(f"{server.address}/a.jpg")


def test_a_line_that_is_cut(only_server_allowed):
    with serve(reply(bytes(10**6), cut=10**5), status(404)) as server:
        assert "cannot be fetched" in refused(f"{server.address}/a.jpg")
        assert "HTTP 404" in refused(f"{server.address}/a.jpg")
