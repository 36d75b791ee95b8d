"""Package metadata of mptrec-tf: what it installs, what it needs and the programs it brings."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
README = ROOT / "README.md"
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "mptrec_tf/__init__.py").read_text("utf-8"))

PROGRAMS = (
    "describe",
    "make_sample",
    "prepare",
    "pretrain",
    "add_task",
    "export",
    "evaluate",
    "predict",
    "compare",
    "refresh",
    "watch",
    "verify",
    "benchmark",
    "serve",
)

setup(
    name="mptrec-tf",
    version=VERSION.group(1),
    description="Multi-task recommendation with TensorFlow: new tasks join a frozen model",
    long_description=README.read_text("utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["mptrec_tf*", "components*", "pipelines*"]),
    # Named, although it is the default: an editable install then puts this folder on the path as
    # it is, so that a package added later is found without installing anew.
    package_dir={"": "."},
    python_requires=">=3.10,<3.14",
    # Ranges that both stacks fit. The releases that were run are in requirements/stack-*.txt.
    install_requires=[
        "absl-py",
        "aiohttp>=3.9",
        "apache-beam",
        "cryptography",
        "grpcio",
        "importlib-resources",  # tensorflow-datasets imports it and does not ask for it
        "jinja2",
        "matplotlib",
        "numpy",
        "orjson",
        "pandas",
        "prometheus-client",
        "pyarrow",
        "pyyaml",
        "rich",
        "scikit-learn",
        "scipy",
        # TensorBoard 2.16 imports pkg_resources, which setuptools 81 no longer has.
        "setuptools<81; python_version < '3.11'",
        "tensorboard",
        "tabulate",
        "tenacity",
        "tensorflow>=2.16",
        "tensorflow-datasets>=4.9",
        "tensorflow-recommenders>=0.7.7",
        "tensorflow-serving-api",
        "tensorflow-transform>=1.16",
        "tf-keras>=2.16",
        "urllib3>=1.26",
    ],
    extras_require={
        "tfx": ["tfx>=1.16"],
        "dask": ["distributed>=2024.4.2"],
        "dev": ["distributed", "kubernetes-validate", "pytest", "pytest-xdist", "ruff"],
    },
    entry_points={
        "console_scripts": [
            "mptrec-lineage = pipelines.lineage:run",
            *(f"mptrec-{name.replace('_', '-')} = mptrec_tf.bin.{name}:run" for name in PROGRAMS),
        ]
    },
    classifiers=[
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
