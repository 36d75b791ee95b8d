"""The manifest of a version's files and its signature, on tiny directories."""

import hashlib
import json
import logging

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519

from mptrec_tf.errors import InputError
from mptrec_tf.export.integrity import check_version, sign_version, write_manifest
from mptrec_tf.export.signing import read_private_key, read_public_key

FILES = {
    "assets.extra/model_card.json": b"{}",
    "assets.extra/parts/tasks/share/task.json": b"task",
    "assets/vocabulary": b"a\nb\n",
    "saved_model.pb": b"graph",
    "variables/variables.data-00000-of-00001": b"weights",
}


@pytest.fixture
def make_version(tmp_path):
    def make(name="1", **changes):
        for path, content in (FILES | changes).items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_bytes(content)
        write_manifest(str(tmp_path / name))
        return tmp_path / name

    return make


@pytest.fixture
def version(make_version):
    return make_version()


@pytest.fixture
def private_key(key_files):
    return read_private_key(key_files[0])


@pytest.fixture
def public_key(key_files):
    return read_public_key(key_files[1])


def test_the_manifest_lists_all_files_but_itself_and_its_signature(version, private_key):
    expected = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    manifest = version / "assets.extra" / "manifest.json"
    written = manifest.read_bytes()
    assert json.loads(written) == {"sha256": expected}
    assert list(json.loads(written)["sha256"]) == sorted(FILES)
    sign_version(str(version), private_key)
    assert check_version(str(version), required=True) == expected
    write_manifest(str(version))
    assert manifest.read_bytes() == written
    # The signature of another manifest is of no use.
    assert not (version / "assets.extra" / "manifest.sig").exists()


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_noticed(version, name, flip_bit):
    flip_bit(version / name, -1)
    with pytest.raises(InputError, match="changed after the version was written") as raised:
        check_version(str(version))
    assert str(raised.value).startswith(f"{version}/{name} was changed")
    assert str(raised.value).endswith("use an untouched copy of the version, or export it again.")


def test_a_bit_is_noticed_after_the_first_block(make_version, flip_bit):
    version = make_version(**{"saved_model.pb": bytes(3 << 20)})
    flip_bit(version / "saved_model.pb", 5 << 19)
    with pytest.raises(InputError, match=r"saved_model\.pb was changed"):
        check_version(str(version))


def test_the_first_missing_or_added_file_is_named(version, flip_bit):
    (version / "variables" / "other").write_bytes(b"")
    with pytest.raises(InputError, match=r"^\S+/1/variables/other was added .*; remove it, or use"):
        check_version(str(version))
    flip_bit(version / "assets.extra" / "model_card.json")  # files are counted before they are read
    (version / "assets" / "vocabulary").unlink()
    with pytest.raises(InputError, match=r"^\S+/1/assets/vocabulary is missing, but .*; use an"):
        check_version(str(version))


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"sha256": null}', '{"sha256": ["a"]}', "\xff"]
)
def test_a_damaged_manifest_is_named(version, content):
    path = version / "assets.extra" / "manifest.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=r"manifest\.json is damaged .*; use an untouched copy"):
        check_version(str(version))
    (version / "saved_model.pb").unlink()
    path.write_text(json.dumps({"sha256": {"../2/saved_model.pb": "0"}}))
    with pytest.raises(InputError, match=r"/1/\.\./2/saved_model\.pb is missing"):
        check_version(str(version))


def test_an_older_version_gets_one_warning(version, public_key, caplog):
    (version / "assets.extra" / "manifest.json").unlink()
    with caplog.at_level(logging.WARNING):
        assert check_version(str(version)) == check_version(str(version)) == {}
    [record] = caplog.records
    assert record.getMessage() == (
        f"{version} has no manifest (assets.extra/manifest.json), as older versions have none: its "
        "files are not checked."
    )
    for demands in ({"required": True}, {"public_key": public_key}):
        with pytest.raises(InputError, match=r"has no manifest .* so its files cannot be checked"):
            check_version(str(version), **demands)
    with pytest.raises(InputError, match=r"has no manifest .* to sign"):
        sign_version(str(version), None)


def test_digests_that_are_known_are_not_made_again(version, flip_bit):
    digests = check_version(str(version))
    flip_bit(version / "saved_model.pb")
    (version / "assets.extra" / "pushed.json").write_text("{}")
    write_manifest(str(version), digests)
    with pytest.raises(InputError, match=r"saved_model\.pb was changed"):
        check_version(str(version))
    flip_bit(version / "saved_model.pb")
    assert check_version(str(version)) == digests | {
        "assets.extra/pushed.json": hashlib.sha256(b"{}").hexdigest()
    }


def test_a_signature_is_of_one_manifest_by_one_key(make_version, private_key, public_key, flip_bit):
    one, two = make_version("1"), make_version("2", **{"saved_model.pb": b"another"})
    check = lambda: check_version(str(one), public_key)  # noqa: E731
    with pytest.raises(InputError, match=r"/1 is not signed .*manifest\.sig is missing"):
        check()
    for version in (one, two):
        sign_version(str(version), private_key)
    assert check()
    wrong = r"manifest\.sig is no signature of its assets\.extra/manifest\.json by the private key"
    with pytest.raises(InputError, match=wrong):
        check_version(str(one), ed25519.Ed25519PrivateKey.generate().public_key())
    signature = one / "assets.extra" / "manifest.sig"
    own = signature.read_bytes()
    for other in ((two / "assets.extra" / "manifest.sig").read_bytes(), own[:-1], b""):
        signature.write_bytes(other)
        with pytest.raises(InputError, match=wrong):
            check()
    signature.write_bytes(own)
    # Who changes a file can make a manifest for it, but no signature.
    flip_bit(one / "assets" / "vocabulary")
    with pytest.raises(InputError, match="vocabulary was changed"):
        check()
    write_manifest(str(one))
    check_version(str(one))
    signature.write_bytes(own)
    with pytest.raises(InputError, match=wrong):
        check()


def test_keys_that_cannot_be_used(key_files, private_key, tmp_path):
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    secret = serialization.BestAvailableEncryption(b"passphrase")
    other_kind = x25519.X25519PrivateKey.generate()
    for name, content in {
        "encrypted": private_key.private_bytes(*form, secret),
        "x25519": other_kind.private_bytes(*form, serialization.NoEncryption()),
        "text": b"hush",
    }.items():
        (tmp_path / name).write_bytes(content)
    private, public = key_files
    for path in (public, *map(str, tmp_path.iterdir())):
        with pytest.raises(InputError, match=r"no private key of Ed25519 .*genpkey") as raised:
            read_private_key(path)
        assert "hush" not in str(raised.value)
    for path in (private, str(tmp_path / "text")):
        with pytest.raises(InputError, match=r"holds no public key of Ed25519 .*-pubout"):
            read_public_key(path)
    with pytest.raises(InputError, match="cannot read the key in none: No such file"):
        read_private_key("none")


def test_remote_versions_are_checked_too(version):
    import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
    import tensorflow as tf

    remote = "ram://bucket/1"
    # TensorFlow's file system in memory takes assets.extra for a part of assets.
    for name in FILES.keys() - {"assets/vocabulary"}:
        tf.io.gfile.makedirs(f"{remote}/{name.rpartition('/')[0]}")
        tf.io.gfile.GFile(f"{remote}/{name}", "wb").write(FILES[name])
    write_manifest(remote)
    digests = check_version(str(version))
    del digests["assets/vocabulary"]
    assert check_version(remote) == digests
    tf.io.gfile.GFile(f"{remote}/saved_model.pb", "wb").write(b"grapg")
    with pytest.raises(InputError, match=r"ram://bucket/1/saved_model\.pb was changed"):
        check_version(remote)
    tf.io.gfile.remove(f"{remote}/assets.extra/manifest.json")
    assert check_version(remote) == {}
