"""A web server on this machine that misbehaves in the ways that it is told."""

import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE = 2**14


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        with server.lock:
            server.requests.append((self.path, dict(self.headers)))
            behave = server.plan[0]
            if len(server.plan) > 1:
                server.plan.pop(0)
        # The client may be killed, or have seen enough.
        with suppress(BrokenPipeError, ConnectionResetError):
            behave(self)
        self.close_connection = True

    def log_message(self, *args):
        pass


@contextmanager
def serve(*plan):
    """Serve one behaviour a request, in order; the last one for ever."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.block_on_close = False
    server.plan, server.requests = list(plan), []
    server.lock, server.stopping = threading.Lock(), threading.Event()
    server.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()


def reply(
    body,
    *,
    etag='"v1"',
    modified=None,
    ranges=True,
    if_range=True,
    content_range=None,
    length=True,
    chunked=False,
    cut=None,
    pause=0.0,
    then=None,
):
    """Send `body`, or the part that is asked for; `cut` after so many bytes."""

    def behave(handler):
        start = 0
        asked = handler.headers.get("Range")
        version = handler.headers.get("If-Range")
        if asked and ranges and (not if_range or version in (etag, modified)):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start >= len(body) > 0:
            handler.send_error(416)
            return
        if chunked:
            handler.protocol_version = "HTTP/1.1"
        handler.send_response(206 if start else 200)
        if start:
            span = f"bytes {start}-{len(body) - 1}/{len(body)}"
            handler.send_header("Content-Range", content_range or span)
        if etag:
            handler.send_header("ETag", etag)
        if modified:
            handler.send_header("Last-Modified", modified)
        if chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        elif length:
            handler.send_header("Content-Length", str(len(body) - start))
        handler.end_headers()
        end = len(body) if cut is None else min(len(body), start + cut)
        for at in range(start, end, PIECE):
            piece = body[at : min(at + PIECE, end)]
            if chunked:
                piece = b"%x\r\n%s\r\n" % (len(piece), piece)
            handler.wfile.write(piece)
            handler.server.stopping.wait(pause)
        if chunked and cut is None:
            handler.wfile.write(b"0\r\n\r\n")
        if then:  # with the line open
            then(handler)

    return behave


def status(code, **headers):
    """Send an error, or a redirect with `Location`."""

    def behave(handler):
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), str(value))
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return behave


def hang(handler):
    """Accept the request and never answer."""
    handler.server.stopping.wait(30)
