"""Makes the gRPC stubs out of `pubsub_api.proto`, for the product and for the simulated org.

Run as `uv run --no-project --with grpcio-tools==1.75.1 --with mypy-protobuf==3.7.0 --with setuptools
python scripts/protos.py`: the oldest tools with wheels for every Python we support, because generated code
refuses runtimes older than its generator. The two packages share no code, so each has its own copy;
both register the same file name with the same bytes, which protobuf accepts.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

PROTO = "pubsub_api.proto"
ROOT = Path(__file__).resolve().parent.parent
HOMES = (
    ROOT / "src/sfsync/simulators/org/proto",
    ROOT / "src/sfsync/salesforce/proto",
)
STUBS = ("pubsub_api_pb2.py", "pubsub_api_pb2.pyi", "pubsub_api_pb2_grpc.py", "pubsub_api_pb2_grpc.pyi")


def generate(proto_folder: Path) -> dict[str, str]:
    """Returns the text of each stub made from the proto in that folder, by file name."""
    from grpc_tools import protoc

    with tempfile.TemporaryDirectory() as folder:
        outputs = (f"--{kind}_out={folder}" for kind in ("python", "mypy", "grpc_python", "mypy_grpc"))
        if protoc.main(["protoc", f"-I{proto_folder}", *outputs, PROTO]) != 0:
            raise SystemExit(f"protoc refused {proto_folder / PROTO}")
        return {name: _beside(Path(folder, name).read_text()) for name in STUBS}


def _beside(text: str) -> str:
    """Makes a stub find its neighbour inside whatever package it lies in."""
    return re.sub(r"^import pubsub_api_pb2\b", "from . import pubsub_api_pb2", text, flags=re.MULTILINE)


def main() -> None:
    for home in HOMES:
        for name, text in generate(home).items():
            (home / name).write_text(text)
            sys.stdout.write(f"{(home / name).relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
