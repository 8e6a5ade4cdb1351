"""Makes the gRPC stubs out of `pubsub_api.proto`, for the product and for the simulated org (`make protos`).

Stubs refuse a grpcio or protobuf older than the tool that wrote them, so that tool is pinned in
pyproject.toml and the lower bounds there follow it. The two packages share no code, so each has its own
copy; both register the same file name with the same bytes, which protobuf accepts.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
import tempfile
from pathlib import Path

from grpc_tools import protoc

PROTO = "pubsub_api.proto"
ROOT = Path(__file__).resolve().parent.parent
HOMES = (
    ROOT / "src/sfsync/simulators/org/proto",
    ROOT / "src/sfsync/salesforce/proto",
)
STUBS = ("pubsub_api_pb2.py", "pubsub_api_pb2.pyi", "pubsub_api_pb2_grpc.py", "pubsub_api_pb2_grpc.pyi")


def generate(proto_folder: Path) -> dict[str, str]:
    """Returns the text of each stub made from the proto in that folder, by file name."""
    # protoc looks for its mypy plug-in on the PATH; it lies beside this Python.
    os.environ["PATH"] = os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", "")))
    with tempfile.TemporaryDirectory() as folder:
        outputs = (f"--{kind}_out={folder}" for kind in ("python", "mypy", "grpc_python", "mypy_grpc"))
        if protoc.main(["protoc", f"-I{proto_folder}", *outputs, PROTO]) != 0:
            raise SystemExit(f"protoc refused {proto_folder / PROTO}")
        return {name: _settled(Path(folder, name).read_text()) for name in STUBS}


def _settled(text: str) -> str:
    """Makes a stub find its neighbour in whatever package it lies in, and gives reasons to its ignores."""
    text = re.sub(r"^import pubsub_api_pb2\b", "from . import pubsub_api_pb2", text, flags=re.MULTILINE)
    text = re.sub(r"  # noqa: Y\d+$", "", text, flags=re.MULTILINE)
    ignore = re.compile(r"(# type: ignore\[[^]]+\])$", flags=re.MULTILINE)
    return ignore.sub(r"\1  # reason: as mypy-protobuf writes it", text)


def main() -> None:
    for home in HOMES:
        for name, text in generate(home).items():
            (home / name).write_text(text)
            sys.stdout.write(f"{(home / name).relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
