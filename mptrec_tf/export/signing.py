"""Ed25519 keys in PEM files, which sign versions and check their signatures.

openssl genpkey -algorithm ed25519 -out private_key.pem
openssl pkey -in private_key.pem -pubout -out public_key.pem
"""

from typing import TYPE_CHECKING

from mptrec_tf.errors import InputError
from mptrec_tf.storage.file_systems import explain_failure, open_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ed25519


def read_private_key(path: str) -> "ed25519.Ed25519PrivateKey":
    """Reads the key that signs versions; no message shows what the file holds.

    Raises:
      InputError: if the file cannot be read, or holds no such key.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    key = _load(path, lambda content: serialization.load_pem_private_key(content, None))
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise InputError(
            f"{path} holds no private key of Ed25519 (PEM, without a passphrase); make one with: "
            "openssl genpkey -algorithm ed25519."
        )
    return key


def read_public_key(path: str) -> "ed25519.Ed25519PublicKey":
    """Reads the key that checks signatures.

    Raises:
      InputError: if the file cannot be read, or holds no such key.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    key = _load(path, serialization.load_pem_public_key)
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise InputError(
            f"{path} holds no public key of Ed25519 (PEM); make it from the private one with: "
            "openssl pkey -in PRIVATE_KEY -pubout."
        )
    return key


def _load(path: str, load):
    """Returns the key in a file; None if there is none."""
    from cryptography.exceptions import UnsupportedAlgorithm

    with explain_failure(f"cannot read the key in {path}"), open_file(path, "rb") as file:
        content = file.read()
    try:
        return load(content)
    # A TypeError is a passphrase that was not given.
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
