"""Opens listening sockets, so that a taken port is reported before a model is loaded."""

import contextlib
import errno
import os
import socket

from mptrec_tf.errors import InputError

BACKLOG = 1024  # connections that wait to be accepted


def listen(host: str, port: int, what: str, flag: str) -> list[socket.socket]:
    """Returns sockets that listen on all addresses of a host.

    Callers can connect from now on; their requests wait until they are accepted.

    Args:
      host: A name or address.
      port: 0 for a free one.
      what: The protocol, for messages.
      flag: The flag that names the port.

    Raises:
      InputError: if an address is taken or not this machine's.
    """
    with contextlib.ExitStack() as opened:
        sockets: list[socket.socket] = []
        try:
            for family, kind, protocol, _, address in socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            ):
                listening = opened.enter_context(socket.socket(family, kind, protocol))
                # Ended connections may not block the port; a running server still does.
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listening.bind((address[0], port, *address[2:]))
                listening.listen(BACKLOG)
                port = listening.getsockname()[1]
                sockets.append(listening)
        except (OSError, UnicodeError) as error:
            raise InputError(
                _describe(f"{host}:{port}", what, flag, error, f"--host or {flag}")
            ) from error
        opened.pop_all()
        return sockets


def check_socket_is_free(path: str, what: str, flag: str) -> None:
    """Rejects a UNIX socket on which a server listens.

    Raises:
      InputError: if a server listens there, or the path cannot be a socket.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
            error = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        except (FileNotFoundError, ConnectionRefusedError):
            return
        except OSError as failure:
            error = failure
    raise InputError(_describe(f"unix:{path}", what, flag, error, flag))


def _describe(where: str, what: str, flag: str, error: Exception, otherwise: str) -> str:
    why = getattr(error, "strerror", None) or str(error)
    if getattr(error, "errno", None) == errno.EADDRINUSE:
        otherwise = f"{flag}, or end the server that listens there"
    return f"cannot listen on {where} for {what} ({why}); give another {otherwise}."
