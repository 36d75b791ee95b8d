"""Checks that the files of an exported model are those that were written.

    mptrec-verify --model=saved_models/mptrec
    mptrec-verify --model=saved_models/mptrec/3 --public_key=public_key.pem

Each version lists the SHA-256 of its files in assets.extra/manifest.json, and may be signed. The
exit status is not 0 if a file is missing, was added or changed, for deployments that check the
versions before TF Serving loads them; a version without a manifest is rejected, too. It needs no
TensorFlow for local paths.
"""

from absl import flags

from mptrec_tf.bin import program

_MODEL = flags.DEFINE_string(
    "model", None, "Directory that mptrec-export wrote (all its versions), or one version."
)
_PUBLIC_KEY = flags.DEFINE_string(
    "public_key", None, "The versions must be signed with its private key (PEM, Ed25519)."
)
flags.mark_flags_as_required(["model"])


def main(_: list[str]) -> None:
    """Runs the program.

    Raises:
      InputError: naming the first file that is not as it was written.
    """
    from mptrec_tf.export.integrity import check_version
    from mptrec_tf.export.signing import read_public_key
    from mptrec_tf.export.versions import find_newest_version, list_version_directories

    key = read_public_key(_PUBLIC_KEY.value) if _PUBLIC_KEY.value else None
    path = _MODEL.value
    newest = find_newest_version(path)
    versions = [path] if newest == path else list_version_directories(path).values()
    for version in versions:
        files = check_version(version, key, required=True)
        signed = ", and signed" if key is not None else ""
        print(f"{version}: {len(files)} files are as they were written{signed}")


def run() -> None:
    """Entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
