"""One pretraining run from images to weights, with what it took and what came out.

Axes: N images, K classes, D embedding, H, W, C pixels.
"""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from torch.nn import functional

from training.toybox.captions import PROMPTS, with_article
from training.toybox.corpus import draw_corpus
from training.toybox.images import KNOWN, STYLES, Pixels
from training.toybox.pretrain import (
    PretrainConfig,
    draw,
    model_config,
    normalise,
    pretrain,
    save,
)

WEIGHTS, RECORD = "toybox.safetensors", "pretraining.json"
FRESH = 1_000_003
"""Added to the recipe's seed for the images that measure, so that none was trained on."""
PER_CLASS = 50
"""Fresh images of each known object and style that measure zero-shot accuracy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What a pretraining run was and what it reached."""

    recipe: dict[str, object]
    """The resolved settings."""
    seconds: dict[str, float]
    """Wall time of drawing and of training."""
    loss: list[float]
    """Mean loss of each epoch."""
    logit_scale: float
    """The learned scale of cosines, at most 100."""
    accuracy: dict[str, float]
    """Zero-shot accuracy over the known objects on fresh images, by style."""


def pretrain_and_record(config: PretrainConfig, out: Path) -> Record:
    """Draw, pretrain, measure, and write weights and record into a folder."""
    start = time.perf_counter()
    corpus = draw(config)
    drawn = time.perf_counter()
    model, loss = pretrain(config, corpus)
    trained = time.perf_counter()
    save(model, out / WEIGHTS)
    record = Record(
        recipe=asdict(config),
        seconds={"drawing": round(drawn - start, 1), "training": round(trained - drawn, 1)},
        loss=loss,
        logit_scale=float(model.logit_scale.detach().exp()),
        accuracy={style: accuracy(model, style, config) for style in STYLES},
    )
    (out / RECORD).write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")
    return record


def accuracy(
    model: CLIP, style: str, config: PretrainConfig, *, per_class: int = PER_CLASS
) -> float:
    """Return the share of fresh images of known objects that the prompts name rightly."""
    side = model_config()["vision_cfg"]["image_size"]
    jobs = [(name, style, config.seed + FRESH, i, side) for name in KNOWN for i in range(per_class)]
    corpus = draw_corpus(jobs, processes=config.processes)
    logits_NK = embed(model, corpus.pixels_NHWC) @ class_features(model, KNOWN).T
    truth_N = torch.arange(len(KNOWN)).repeat_interleave(per_class)
    return float((logits_NK.argmax(dim=1) == truth_N).float().mean())


@torch.no_grad()
def embed(model: CLIP, pixels_NHWC: Pixels) -> torch.Tensor:
    """Return unit image features, float32 (N, D)."""
    chunks = torch.split(normalise(pixels_NHWC), 256)
    return functional.normalize(torch.cat([model.encode_image(chunk) for chunk in chunks]), dim=-1)


@torch.no_grad()
def class_features(
    model: CLIP, names: tuple[str, ...], prompts: tuple[str, ...] = PROMPTS
) -> torch.Tensor:
    """Return unit text features of the names, the mean over the prompts, float32 (K, D)."""
    tokenizer = SimpleTokenizer(context_length=model_config()["text_cfg"]["context_length"])
    total = sum(
        functional.normalize(
            model.encode_text(
                tokenizer([prompt.replace("a {}", with_article(name)) for name in names])
            ),
            dim=-1,
        )
        for prompt in prompts
    )
    return functional.normalize(torch.as_tensor(total), dim=-1)
