"""What a gateway in front of a server may require of a client: headers and TLS.

Imports no TensorFlow, and no gRPC.
"""

import collections
import dataclasses
import re
import ssl
from collections.abc import Callable, Mapping

from mptrec_tf.errors import InputError

# gRPC takes no other names, and reserves those with this prefix and this suffix.
_NAME = re.compile(r"(?!grpc-)(?!.*-bin$)[A-Za-z0-9_.-]+", re.IGNORECASE)
_VALUE = re.compile(r"[\x20-\x7e]*")
# What the protocols write themselves.
_OWN = {"content-type", "content-length", "transfer-encoding", "connection", "te"}
_LEAST_SECRET = 6  # characters: a shorter one would occur in any text
_SENT = 64  # header values that are remembered, to hide them in messages


@dataclasses.dataclass(frozen=True)
class Tls:
    """How to trust a server over TLS, and to be trusted by it.

    Example:
      `Tls(ca="ca.pem")` for a server whose certificate was signed by your own authority,
      `Tls(ca="ca.pem", certificate="me.pem", key="me.key")` for one that requires a client
      certificate as well, `Tls()` for a gRPC server with a publicly trusted certificate.

    Args:
      ca: Optional. A PEM file of the authorities to trust. Defaults to those that the system
        trusts (REST), or gRPC.
      certificate: Optional. A PEM file of the client's own certificate (chain).
      key: Optional. A PEM file of its private key, without a password. Defaults to `certificate`.
      server_name: Optional. The name in the server's certificate, where it is not the address's.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    server_name: str | None = None

    def make_context(self) -> ssl.SSLContext:
        """Returns the settings as a context of Python's ssl.

        Raises:
          InputError: naming the setting and the file that cannot be used.
        """
        if self.key and not self.certificate:
            raise InputError("Tls has a `key` and no `certificate`; give both.")
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except (OSError, ValueError) as error:  # ssl's own errors are OSErrors
            raise _unusable_error("ca", self.ca, error) from error
        if self.certificate:
            try:
                # Without a password Python would prompt for one at the terminal.
                context.load_cert_chain(self.certificate, self.key, password="")
            except (OSError, ValueError) as error:
                files = " and ".join(filter(None, (self.certificate, self.key)))
                raise _unusable_error("certificate", files, error) from error
        return context

    def read_pem(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Returns the contents of the files: authorities, key and certificate, as gRPC takes them.

        Raises:
          InputError: naming the setting and the file that cannot be used.
        """
        self.make_context()  # gRPC would report an unusable file with the first request only
        own_key = self.key or self.certificate
        return _read(self.ca), _read(own_key), _read(self.certificate)


def _unusable_error(setting: str, files: str | None, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or str(error)
    return InputError(f"Tls: cannot use `{setting}` {files}: {reason}; give a PEM file.")


def _read(path: str | None) -> bytes | None:
    if path is None:
        return None
    with open(path, "rb") as file:
        return file.read()


Headers = Mapping[str, str] | Callable[[], Mapping[str, str]]


class CallerHeaders:
    """The headers that a caller adds to every request; their values are secret.

    Args:
      headers: By name, or a function that returns them, for tokens that expire.
    """

    def __init__(self, headers: Headers | None):
        self._headers = headers or {}
        self._sent: collections.deque[str] = collections.deque(maxlen=_SENT)
        if not callable(self._headers):
            self.read()

    def read(self) -> dict[str, str]:
        """Returns the headers for a request.

        Raises:
          InputError: naming a header that cannot be sent, without its value.
        """
        headers = self._headers() if callable(self._headers) else self._headers
        if not isinstance(headers, Mapping):
            raise InputError(
                f"headers should be a dict, or a function that returns one; received "
                f"{type(headers).__name__}."
            )
        for name, value in headers.items():
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise InputError(f"{name!r} is not a header's name; give one as x-tenant.")
            if name.lower() in _OWN:
                raise InputError(f"header {name!r} is set by the client; leave it out.")
            if not isinstance(value, str) or not _VALUE.fullmatch(value):
                what = "text" if not isinstance(value, str) else "printable ASCII text in one line"
                raise InputError(f"the value of header {name!r} should be {what}.")
            if value not in self._sent:
                self._sent.append(value)
        return dict(headers)

    def hide(self, text: str) -> str:
        """Returns a text without the values of headers: servers may repeat what they were sent."""
        secrets = {part for value in self._sent for part in (value, *value.split())}
        for secret in sorted(secrets, key=len, reverse=True):
            if len(secret) >= _LEAST_SECRET and secret.lower() not in ("bearer", "digest"):
                text = text.replace(secret, "***")
        return text
