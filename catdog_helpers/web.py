"""Fetch one photograph from an address: public, small and soon, or not."""

import ipaddress
import socket
import time

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from catdog_helpers.data.download import CHUNK, is_safe
from catdog_helpers.data.images import MAX_BYTES

TIMEOUT = (5, 10)  # seconds to connect, seconds without a byte
SECONDS, MAX_REDIRECTS = 60, 5
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: wraps any IPv4


def fetch_photograph(url: str) -> bytes:
    """Fetch a file from a public https address into memory.

    Each host on the way is looked up once, its addresses are checked, and one
    of those is connected to: a second look-up cannot lead elsewhere. No
    proxy, cookie or password of this machine is used.

    Args:
        url: Where to; redirects are followed, each checked anew.

    Returns:
        The bytes, at most `MAX_BYTES` of them.

    Raises:
        ValueError: If that fails or is refused; the message is the reason.
    """
    deadline = time.monotonic() + SECONDS
    with requests.Session() as session:
        session.trust_env, session.max_redirects = False, MAX_REDIRECTS
        session.mount("https://", _Adapter())
        session.mount("http://", _Adapter())
        try:
            return _read(session, url, deadline)
        except requests.HTTPError as error:
            reason = f"HTTP {error.response.status_code}"
        except (requests.RequestException, HTTPError, OSError) as error:
            reason = type(error).__name__  # the texts of these are very long
    raise ValueError(f"cannot be fetched: {reason}")


def is_public(address: str) -> bool:
    """Tell if an IP address is one of the open internet.

    Not so: loopback, private, link-local (clouds keep credentials there),
    multicast and reserved ones, and IPv6 that wraps an IPv4 address.

    Args:
        address: Number in text form, as the resolver gives it.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.version == 6 and (ip.ipv4_mapped or ip.sixtofour or ip.teredo):
        return False
    return ip.is_global and not ip.is_multicast and ip not in NAT64


def _read(session: requests.Session, url: str, deadline: float) -> bytes:
    headers = {"Accept-Encoding": "identity"}
    options = {"timeout": TIMEOUT, "stream": True, "headers": headers}
    with session.get(url, **options) as response:
        response.raise_for_status()
        data = bytearray()
        while chunk := response.raw.read1(CHUNK):
            data += chunk
            if len(data) > MAX_BYTES:
                raise ValueError(f"too large: more than {MAX_BYTES:,} bytes")
            if time.monotonic() > deadline:
                raise ValueError(f"too slow: not there in {SECONDS} seconds")
        if response.raw.length_remaining:
            raise ValueError("cannot be fetched: the connection was cut")
        return bytes(data)


class _Adapter(HTTPAdapter):
    def get_connection_with_tls_context(self, *args, **options):
        pool = super().get_connection_with_tls_context(*args, **options)
        pool.ConnectionCls = _Https if pool.scheme == "https" else _Http
        return pool


class _Checked:
    def _new_conn(self):
        host = self.host.strip("[]")
        if not is_safe(f"{self.scheme}://{self.host}"):
            raise ValueError(f"an address must start with https://: {host}")
        kind = {"type": socket.SOCK_STREAM}
        found = [x[4] for x in socket.getaddrinfo(host, self.port, **kind)]
        if not all(is_public(address[0]) for address in found):
            raise ValueError(f"refused: {host} is no public address")
        return socket.create_connection(found[0][:2], self.timeout)


class _Http(_Checked, HTTPConnection):
    scheme = "http"


class _Https(_Checked, HTTPSConnection):
    scheme = "https"
