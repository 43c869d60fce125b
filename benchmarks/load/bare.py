"""The bare loop: decode and encode without HTTP, what no server can beat.

    python -m benchmarks.load.bare BUNDLE FOLDER --seconds 3

One thread a core, one session with the service's own options. Prints JSON: images a second, CPU
milliseconds an image, and the median milliseconds of an image in one thread alone.
"""

import argparse
import json
import sys
import threading
import time
from pathlib import Path

from models.bundle import Bundle
from models.embed import usable_cores
from models.encoder import OnnxEncoder


def main() -> None:
    """Measure one thread, then one a core."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path, help="of JPEG files")
    parser.add_argument("--seconds", type=float, default=3.0)
    args = parser.parse_args()
    images = [path.read_bytes() for path in sorted(args.folder.glob("*.jpg"))]
    loop = Loop(Bundle.load(args.bundle), images)
    loop.run(0.5)
    alone = sorted(loop.run(args.seconds / 3))
    cpu, started = time.process_time(), time.monotonic()
    done = loop.run_on_all_cores(args.seconds)
    seconds = time.monotonic() - started
    result = {
        "per_second": done / seconds,
        "cpu_ms": 1e3 * (time.process_time() - cpu) / done,
        "single_ms": 1e3 * alone[len(alone) // 2],
    }
    json.dump(result, sys.stdout)


class Loop:
    """Decodes and encodes the same images again and again."""

    def __init__(self, bundle: Bundle, images: list[bytes]) -> None:
        """Load the encoder as the service does."""
        self._encoder = OnnxEncoder(bundle.encoder_path)
        self._preprocess = bundle.manifest.preprocess.build()
        self._images = images

    def run(self, seconds: float, first: int = 0) -> list[float]:
        """Return the seconds of each image."""
        times = []
        end = time.monotonic() + seconds
        while (started := time.monotonic()) < end:
            data = self._images[(first + len(times)) % len(self._images)]
            self._encoder.embed(self._preprocess.pixels(data)[None])
            times.append(time.monotonic() - started)
        return times

    def run_on_all_cores(self, seconds: float) -> int:
        """Return how many images all threads did."""
        done: list[int] = []
        threads = [
            threading.Thread(target=lambda i=i: done.append(len(self.run(seconds, 7 * i))))
            for i in range(usable_cores())
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(done)


if __name__ == "__main__":
    main()
