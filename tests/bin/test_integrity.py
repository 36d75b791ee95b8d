"""Real versions: signed, made of signed ones, changed."""

import json
import shutil


def test_signed_versions_are_made_of_signed_ones(
    run_program, run_rejected, exported, key_files, flip_bit, tmp_path
):
    private, public = key_files
    base = shutil.copytree(exported, tmp_path / "mptrec")
    sign, output = f"--sign_key={private}", f"--output_dir={base}"
    assert "/1 is not signed" in run_rejected("export", "--remove=share", sign, output)
    assert run_program("export", sign, output).stdout == f"signed {base}/1\n"
    for _ in range(2):
        run_program("export", "--remove=share", sign, output, "--from_version=1")
    verify = ("verify", f"--model={base}", f"--public_key={public}")
    lines = run_program(*verify).stdout.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{base}/{n}" for n in (1, 2, 3)]
    assert all(line.endswith(" files are as they were written, and signed") for line in lines)
    one, two, three = (
        json.loads((base / f"{n}" / "assets.extra" / "manifest.json").read_text())["sha256"]
        for n in (1, 2, 3)
    )
    assert two == three
    assert {name for name in two if name.startswith("assets/")} == {
        name for name in one.keys() & two if name.startswith("assets/") and one[name] == two[name]
    }
    [share] = {name.split("/")[3] for name in one.keys() - two if "/tasks/" in name}
    assert share == "share"
    vocabulary = min((base / "2" / "assets").iterdir())
    flip_bit(vocabulary)
    for program in (verify, ("export", "--remove=share", sign, output, "--from_version=2")):
        assert f"{vocabulary} was changed" in run_rejected(*program)
