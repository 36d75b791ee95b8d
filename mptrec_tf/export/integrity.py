"""The manifest of a version: the SHA-256 of each of its files, and a signature of it.

<version>/assets.extra/
  manifest.json    {"sha256": {"saved_model.pb": "9f86d08...", ...}}: all files but these two
  manifest.sig     optional: the Ed25519 signature of manifest.json, 64 bytes

A manifest shows what a disk, a copy or a hand changed after a version was written. Who can write to
a version can also write its manifest anew: a signature shows that to those who have the public key
from elsewhere. TF Serving reads neither file.
"""

import functools
import hashlib
import json
import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mptrec_tf.errors import InputError
from mptrec_tf.export.versions import MANIFEST, SIGNATURE
from mptrec_tf.storage.directories import write_file
from mptrec_tf.storage.file_systems import (
    explain_failure,
    get_file_system,
    is_missing,
    open_file,
)
from mptrec_tf.storage.json_files import explain_damage

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ed25519

_BLOCK = 1 << 20  # bytes that are read at a time
_REMEDY = "use an untouched copy of the version, or export it again"

_log = logging.getLogger("mptrec-versions")


def write_manifest(version: str, known: Mapping[str, str] | None = None) -> None:
    """Writes the manifest of a version, and removes the signature of an earlier one.

    Args:
      version: Its directory, with all other files in place.
      known: SHA-256 by file, of files that are not read again.

    Raises:
      InputError: if a file cannot be read or written.
    """
    known = known or {}
    digests = {
        name: known.get(name) or _hash_file(os.path.join(version, name))
        for name in _list_files(version)
    }
    files, signature = get_file_system(version), os.path.join(version, SIGNATURE)
    with explain_failure(f"cannot write {version}"):
        files.makedirs(os.path.dirname(signature))
        if files.exists(signature):
            files.remove(signature)
    content = json.dumps({"sha256": digests}, indent=2) + "\n"
    write_file(os.path.join(version, MANIFEST), content)


def sign_version(version: str, key: "ed25519.Ed25519PrivateKey") -> None:
    """Signs the manifest of a version, whose files are as it says.

    Raises:
      InputError: if it has none, or the signature cannot be written.
    """
    content = _read(version, MANIFEST)
    if content is None:
        raise InputError(f"{version} has no manifest ({MANIFEST}) to sign; export it again.")
    write_file(os.path.join(version, SIGNATURE), key.sign(content))


def check_version(
    version: str, public_key: "ed25519.Ed25519PublicKey | None" = None, *, required: bool = False
) -> dict[str, str]:
    """Rejects a version whose files are not those that were written.

    A version without a manifest, as older versions are, gets one warning.

    Args:
      version: Its directory.
      public_key: The version must be signed with the private key that belongs to it.
      required: Whether a version without a manifest is rejected, as it is with a public key.

    Returns:
      SHA-256 by file; empty without a manifest.

    Raises:
      InputError: naming the first file that is missing, was added or changed.

    Example:
          check_version("MODEL/1", read_public_key("public_key.pem"))
    """
    content = _read(version, MANIFEST)
    if content is None:
        if required or public_key is not None:
            raise InputError(
                f"{version} has no manifest ({MANIFEST}), so its files cannot be checked; {_REMEDY}"
                ", or make a manifest for it as it is, see docs/serving.md."
            )
        _warn_unchecked(version)
        return {}
    if public_key is not None:
        _check_signature(version, content, public_key)
    with explain_damage(version, MANIFEST):
        digests = dict(json.loads(content)["sha256"])
    names = _list_files(version)
    for name in sorted(digests.keys() ^ set(names)):
        path = os.path.join(version, name)
        if name in digests:
            raise InputError(f"{path} is missing, but {MANIFEST} lists it; {_REMEDY}.")
        raise InputError(
            f"{path} was added after the version was written, as {MANIFEST} does not list it; "
            f"remove it, or {_REMEDY}."
        )
    for name in names:
        path = os.path.join(version, name)
        if _hash_file(path) != digests[name]:
            raise InputError(
                f"{path} was changed after the version was written, as its SHA-256 is not the one "
                f"in {MANIFEST}; {_REMEDY}."
            )
    return digests


def _check_signature(version: str, content: bytes, public_key: "ed25519.Ed25519PublicKey") -> None:
    from cryptography.exceptions import InvalidSignature

    signature = _read(version, SIGNATURE)
    if signature is None:
        raise InputError(
            f"{version} is not signed ({SIGNATURE} is missing), and only signed versions are "
            "accepted here; sign it with mptrec-export --sign_key."
        )
    try:
        public_key.verify(signature, content)
    except InvalidSignature as error:
        raise InputError(
            f"{version}: {SIGNATURE} is no signature of its {MANIFEST} by the private key that "
            "belongs to the public key; use an untouched copy of the version, the key that signed "
            "it, or sign it anew with mptrec-export --sign_key."
        ) from error


@functools.cache  # warns once, as servers try again
def _warn_unchecked(version: str) -> None:
    _log.warning(
        "%s has no manifest (%s), as older versions have none: its files are not checked.",
        version,
        MANIFEST,
    )


def _list_files(version: str) -> list[str]:
    """Returns the files below a version but for the manifest and its signature, in order."""
    with explain_failure(f"cannot look into {version}"):
        paths = [
            os.path.relpath(os.path.join(folder, name), version)
            for folder, _, names in get_file_system(version).walk(version)
            for name in names
        ]
    return sorted({*paths} - {MANIFEST, SIGNATURE})


def _hash_file(path: str) -> str:
    digest = hashlib.sha256()
    with explain_failure(f"cannot read {path}"), open_file(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _read(version: str, name: str) -> bytes | None:
    """Returns a file's content; None if it is missing."""
    path = os.path.join(version, name)
    with explain_failure(f"cannot read {path}"):
        try:
            with open_file(path, "rb") as file:
                return file.read()
        except Exception as error:
            if is_missing(error):
                return None
            raise
