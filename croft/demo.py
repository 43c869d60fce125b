"""``croft demo``: the whole loop on toy objects, offline, and proof at the end that it worked."""

import argparse
import io
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from croft import demo_text
from croft.traffic import Sent, check_free, classify, classify_all, running_service
from croft.verdict import judge
from models.bundle import Bundle
from models.errors import ConfigError
from training.encoders import EncoderRequest
from training.pipeline import TrainRequest, train
from training.recipe import load_recipe
from training.toybox.images import KNOWN, QUALITY, TEXTURE, UNKNOWN, render, write_images

CALIBRATED: Final = ("photo", "cartoon")
SHIFTED: Final = ("painting", "sketch")
RECIPE: Final = "toybox.toml"
_MARKER: Final = ".croft-demo"
_TRAIN_SEED: Final = 1
_FRESH_SEED: Final = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoConfig:
    """The table ``[demo]`` of the recipe."""

    per_class: int
    """Images of each known object in each calibrated style, to train and calibrate on."""
    report_per_class: int
    """Images of each object and style that only the report uses."""
    fresh_per_class: int
    """Images of each object and style that are sent to the service."""
    band_confidence: float
    """Coverage of the band that false rejections on fresh images must lie in."""
    catch_floor: float
    """Share of unknown objects that must be rejected for the demo to pass."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of ``croft demo``."""
    parser.add_argument("--once", action="store_true", help="end after the last check")
    parser.add_argument("--port", type=int, default=8000, help="of the service (default 8000)")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/demo"), help="folder to use (default runs/demo)"
    )


def run(args: argparse.Namespace) -> int:
    """Draw, train, calibrate, serve, ask, judge; 0 if what was promised held."""
    config = demo_config()
    check_free(args.port)
    _fresh_folder(args.out)
    print(demo_text.heading("1. Images of toy objects, drawn by the project itself"))
    _draw(args.out / "images", config)
    print(demo_text.heading("2. Train, calibrate, evaluate, write the bundle"))
    bundle_path = train(_request(args.out)).path
    print(demo_text.heading("3. Serve it, and send real HTTP requests"))
    with running_service(bundle_path, port=args.port, log=args.out / "service.log") as service:
        traffic = _send(args.port, config)
        verdict = judge(
            Bundle.load(bundle_path).threshold,
            traffic,
            confidence=config.band_confidence,
            catch_floor=config.catch_floor,
        )
        print(demo_text.answers(traffic))
        print(demo_text.summary(verdict))
        print(demo_text.next_steps(bundle_path, args.port, once=args.once))
        if not args.once:
            _wait(service)
    return 0 if verdict.passed else 1


def demo_config() -> DemoConfig:
    """Read the demo's own table of its recipe."""
    text = (resources.files("training") / "recipes" / RECIPE).read_text(encoding="utf-8")
    return DemoConfig(**tomllib.loads(text)["demo"])


def _fresh_folder(out: Path) -> None:
    """Empty the folder of an earlier demo; never one that holds anything else."""
    if out.exists() and any(out.iterdir()) and not (out / _MARKER).exists():
        raise ConfigError(f"{out} is not empty and not of an earlier demo. Give another --out.")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / _MARKER).touch()


def _draw(images: Path, config: DemoConfig) -> None:
    """Write the data set: one folder to train on, one for each set of unknowns."""
    few = config.report_per_class
    for folder, names, styles, per_class in (
        ("known", KNOWN, CALIBRATED, config.per_class),
        ("known", KNOWN, SHIFTED, few),
        ("unknown-objects", UNKNOWN, (*CALIBRATED, *SHIFTED), few),
        ("textures", (TEXTURE,), CALIBRATED[:1], few * len(UNKNOWN)),
    ):
        write_images(
            images / folder, seed=_TRAIN_SEED, per_class=per_class, styles=styles, names=names
        )


def _request(out: Path) -> TrainRequest:
    recipe = resources.files("training") / "recipes" / RECIPE
    with resources.as_file(recipe) as path:
        config = load_recipe(path)
    return TrainRequest(
        data=out / "images" / "known",
        out=out / "bundles",
        name="toybox",
        encoder=EncoderRequest(backbone="toybox"),
        unknown={
            "unknown objects": out / "images" / "unknown-objects",
            "textures": out / "images" / "textures",
        },
        cache=out / "cache",
        config=config,
    )


def _send(port: int, config: DemoConfig) -> dict[str, list[Sent]]:
    """Send images that nothing has seen, in every kind that a service meets."""
    per_class = config.fresh_per_class
    kinds = {
        "known": list(_fresh(KNOWN, CALIBRATED, per_class)),
        "shifted": list(_fresh(KNOWN, SHIFTED, max(1, per_class // 2))),
        "unknown": list(_fresh(UNKNOWN, CALIBRATED, per_class)),
        "textures": list(_fresh((TEXTURE,), CALIBRATED[:1], 2 * per_class)),
    }
    with tqdm(total=sum(map(len, kinds.values())), unit="request", desc="asking") as bar:
        traffic = {
            kind: classify_all(port, images, on_answer=bar.update) for kind, images in kinds.items()
        }
    name, style, data = kinds["known"][0]
    return {
        **traffic,
        "broken": [classify(port, name, f"{style}, cut off", data[: len(data) // 2])],
    }


def _fresh(
    names: Sequence[str], styles: Sequence[str], per_class: int
) -> Iterator[tuple[str, str, bytes]]:
    for name in names:
        for style in styles:
            for index in range(per_class):
                yield name, style, _jpeg(render(name, style, seed=_FRESH_SEED, index=index))


def _jpeg(pixels_HWC: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels_HWC).save(buffer, format="JPEG", quality=QUALITY)
    return buffer.getvalue()


def _wait(service: "subprocess.Popen[bytes]") -> None:
    try:
        service.wait()
    except KeyboardInterrupt:
        print("\nstopping the service")
