"""The Bigtable emulator, on a free port."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import time

IN_SDK = "platform/bigtable-emulator/cbtemulator"
SDKS = ("~/google-cloud-sdk", "/usr/lib/google-cloud-sdk", "/usr/local/google-cloud-sdk", "/opt/google-cloud-sdk")


def find():
    """Where the tests look for it too: CBTEMULATOR, the path, the SDK."""
    if named := os.environ.get("CBTEMULATOR"):
        return named
    if in_path := shutil.which("cbtemulator"):
        return in_path
    gcloud = shutil.which("gcloud")
    above = [pathlib.Path(gcloud).resolve().parents[1]] if gcloud else []
    folders = above + [pathlib.Path(sdk).expanduser() for sdk in SDKS]
    return next((str(folder / IN_SDK) for folder in folders if (folder / IN_SDK).is_file()), None)


def is_required():
    return os.environ.get("CBTEMULATOR_REQUIRED") == "1"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Emulator:
    """A process that may be started again on its port, empty."""

    def __init__(self, binary):
        self.binary = binary
        self.port = free_port()
        self.process = None
        self.start()

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen([self.binary, "-host", "127.0.0.1", "-port", str(self.port)], **quiet)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.02)
        raise RuntimeError("the emulator did not listen within 20 s")

    def stop(self):
        self.process.kill()
        self.process.wait()
