"""Lets Python's resolver answer for `*.localhost`, which RFC 6761 gives to this machine and which some systems do not
resolve. Python loads this by itself from a folder on PYTHONPATH."""

import socket

_getaddrinfo = socket.getaddrinfo


def _resolve(host, *args, **kwargs):
    name = host.decode() if isinstance(host, bytes) else host
    if isinstance(name, str) and name.rstrip(".").lower().endswith(".localhost"):
        host = "127.0.0.1"
    return _getaddrinfo(host, *args, **kwargs)


socket.getaddrinfo = _resolve
