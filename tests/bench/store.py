"""An S3 server of the run's own: SeaweedFS on this machine, at ports that tests/cluster does not use.

Holds: everything lies in the folder that is given; `drop` gives the disk back at once, as a bucket has volumes of its
own.
"""

import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from sides import BenchError

BUCKET = "bench"
KEY, SECRET = "medtrain-bench", "not-a-secret-in-benchmarks"
MASTER, VOLUME, FILER, S3 = 9633, 8680, 8988, 8533
PATIENCE = 60  # seconds


class Server:
    def __init__(self, weed: Path, folder: Path):
        folder.mkdir(parents=True)
        self.weed, self.folder = weed, folder
        config = folder / "s3.json"
        actions = '["Admin", "Read", "List", "Tagging", "Write"]'
        config.write_text(
            f'{{"identities": [{{"name": "bench", "credentials": [{{"accessKey": "{KEY}", "secretKey": "{SECRET}"}}], '
            f'"actions": {actions}}}]}}'
        )
        self.variables = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{S3}",
            "S3_ENDPOINT_URL": f"http://127.0.0.1:{S3}",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }
        command = [str(weed), f"-logdir={folder}", "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        command += [f"-master.port={MASTER}", f"-volume.port={VOLUME}", "-filer", f"-filer.port={FILER}", "-s3"]
        command += [f"-s3.port={S3}", f"-s3.config={config}", "-master.volumeSizeLimitMB=256"]
        command += ["-master.volumePreallocate=false", "-volume.max=400"]
        self.log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=os.environ | {"HOME": str(folder)}
        )
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise

    def wait(self) -> None:
        """Until a bucket can be made and deleted: a port that answers is not enough."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{S3}/healthz", timeout=5).close()
                self.create()
                self.drop()
                return
            except (OSError, BenchError):
                time.sleep(0.5)
        raise BenchError(f"the S3 server does not come up: {(self.folder / 'log').read_text()[-500:]}")

    def shell(self, line: str) -> str:
        command = [str(self.weed), f"-logdir={self.folder}", "shell", f"-master=127.0.0.1:{MASTER}"]
        command.append(f"-filer=127.0.0.1:{FILER}")
        done = subprocess.run(command, input=line + "\n", capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode:
            raise BenchError(f"weed shell: {line}: {done.stderr[-300:]}")
        return done.stdout

    def create(self) -> None:
        self.shell(f"s3.bucket.create -name {BUCKET}")
        if BUCKET not in self.shell("s3.bucket.list").split():
            raise BenchError(f"the S3 server made no bucket {BUCKET}")

    def drop(self) -> None:
        self.shell(f"s3.bucket.delete -name {BUCKET}")

    def size(self, name: str) -> int:
        """Bytes of an object, as the filer knows it."""
        request = urllib.request.Request(f"http://127.0.0.1:{FILER}/buckets/{BUCKET}/{name}", method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return int(answer.headers["Content-Length"])
        except urllib.error.URLError as error:
            raise BenchError(f"{name} is not in the store: {error}") from error

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
