"""Contrastive pretraining of the Toybox encoder: a small open_clip model on toy captions.

Axes: N images, B batch, D embedding, H, W, C pixels, F = 4 facts.
"""

import inspect
import json
import math
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import save_file
from torch.nn import functional
from tqdm import tqdm

from models.errors import ConfigError
from training.toybox.captions import Naming, describe, truth
from training.toybox.corpus import Corpus, draw_corpus, mixed_jobs
from training.toybox.images import STYLES, Pixels

RECIPE = "toybox-pretrain.toml"
MAX_LOGIT_SCALE = math.log(100)
"""Where CLIP clamps its learned temperature."""
PAD = 5
"""Pixels by which a picture may be shifted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainConfig:
    """How the Toybox encoder is pretrained; the recipe file holds the values in use."""

    seed: int
    """Seed of images, weights, order, captions and augmentation."""
    images: int
    """Number of images drawn, spread evenly over the objects."""
    epochs: int
    """Passes over the images, each with fresh captions and augmentation."""
    batch_size: int
    """Images, and captions, compared with each other in a step."""
    learning_rate: float
    """Peak of AdamW's learning rate, reached after the warm-up, then a cosine to zero."""
    weight_decay: float
    """AdamW's decay of matrices; gains, biases and embeddings have none."""
    warmup_steps: int
    """Steps in which the learning rate rises to its peak."""
    processes: int
    """Processes that draw the images."""
    styles: dict[str, float]
    """Share of each style among the images."""
    naming: Naming = field(default_factory=lambda: Naming(own=1.0, borrowed=0.0))
    """How well the captions name the known objects."""
    weights: dict[str, float] = field(default_factory=dict)
    """How much more often, or less, than others an object is drawn."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be run."""
        for name in ("images", "epochs", "batch_size", "learning_rate", "processes"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"`{name}` must be > 0, got {getattr(self, name)}.")
        if set(self.styles) - set(STYLES) or not math.isclose(sum(self.styles.values()), 1):
            raise ConfigError(
                f"`styles` must share 1 among {', '.join(STYLES)}, got {self.styles}."
            )


def load_recipe(path: Path | None = None, **changes: int) -> PretrainConfig:
    """Return the recipe of a TOML file (the shipped one by default), with some values changed."""
    text = (path or files("training") / "recipes" / RECIPE).read_text(encoding="utf-8")
    values: dict[str, Any] = tomllib.loads(text) | changes
    if "naming" in values:
        _check(Naming, values["naming"])
        values["naming"] = Naming(**values["naming"])
    _check(PretrainConfig, values)
    return PretrainConfig(**values)


def _check(kind: type, values: dict[str, Any]) -> None:
    """Refuse settings that the kind does not have, and the lack of those it needs."""
    parameters = inspect.signature(kind).parameters
    needed = {n for n, entry in parameters.items() if entry.default is inspect.Parameter.empty}
    if wrong := sorted((set(values) - set(parameters)) | (needed - set(values))):
        raise ConfigError(f"Unknown or missing setting {wrong}; there are {sorted(parameters)}.")


def model_config() -> dict[str, dict[str, int]]:
    """Return the shipped open_clip configuration of the Toybox model."""
    text = (files("models") / "toybox" / "toybox.json").read_text(encoding="utf-8")
    config: dict[str, dict[str, int]] = json.loads(text)
    return config


def new_model(seed: int) -> CLIP:
    """Return the Toybox model with fresh weights, the same for the same seed."""
    config = model_config()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"])


def normalise(pixels_NHWC: Pixels) -> torch.Tensor:
    """Return the images as the encoder wants them, float32 (N, 3, H, W)."""
    mean, std = torch.tensor(OPENAI_DATASET_MEAN), torch.tensor(OPENAI_DATASET_STD)
    images = (torch.from_numpy(pixels_NHWC).float() / 255 - mean) / std
    return images.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def augment(pixels_NHWC: Pixels, rng: np.random.Generator) -> Pixels:
    """Return the images mirrored, shifted, and changed in brightness and contrast at random."""
    count, side = len(pixels_NHWC), pixels_NHWC.shape[1]
    padded = np.pad(pixels_NHWC, ((0, 0), (PAD, PAD), (PAD, PAD), (0, 0)), mode="edge")
    moved = np.empty_like(pixels_NHWC)
    corners = rng.integers(0, 2 * PAD + 1, (count, 2))
    mirrored = rng.random(count) < 0.5
    for i, (top, left) in enumerate(corners):
        view = padded[i, top : top + side, left : left + side]
        moved[i] = view[:, ::-1] if mirrored[i] else view
    gain = rng.normal(1, 0.12, (count, 1, 1, 1)).astype(np.float32)
    lift = rng.normal(0, 12, (count, 1, 1, 1)).astype(np.float32)
    changed: Pixels = np.clip((moved - 128.0) * gain + 128 + lift, 0, 255).astype(np.uint8)
    return changed


def contrastive_loss(
    images_BD: torch.Tensor, texts_BD: torch.Tensor, truth_BB: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """Return CLIP's symmetric cross-entropy with all true pairs of the batch as targets.

    ``truth_BB`` holds whether a caption (column) is true of an image (row); the target mass is
    shared among the true ones, which with only the diagonal true is CLIP's own loss.
    """
    logits_BB = scale * functional.normalize(images_BD) @ functional.normalize(texts_BD).T
    rows = truth_BB / truth_BB.sum(1, keepdim=True)
    columns = truth_BB / truth_BB.sum(0, keepdim=True)
    to_texts = -(rows * logits_BB.log_softmax(1)).sum(1).mean()
    to_images = -(columns * logits_BB.log_softmax(0)).sum(0).mean()
    return (to_texts + to_images) / 2


def batches(
    corpus: Corpus, config: PretrainConfig, rng: np.random.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yield an epoch of images (B, 3, H, W), tokens (B, context) and truths (B, B)."""
    tokenizer = SimpleTokenizer(context_length=model_config()["text_cfg"]["context_length"])
    order = rng.permutation(len(corpus.facts_NF))
    for start in range(0, len(order) - config.batch_size + 1, config.batch_size):
        chosen = order[start : start + config.batch_size]
        facts = corpus.facts_NF[chosen]
        texts, claims = describe(facts, rng, config.naming)
        images = normalise(augment(corpus.pixels_NHWC[chosen], rng))
        yield images, tokenizer(texts), torch.from_numpy(truth(facts, claims)).float()


def optimizer_for(
    model: CLIP, config: PretrainConfig, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """Return AdamW without decay on gains, biases and embeddings, and its schedule."""
    plain = {"logit_scale", "positional_embedding", "token_embedding.weight"}
    named = list(model.named_parameters())
    decayed = [p for n, p in named if p.ndim >= 2 and n not in plain]
    others = [p for n, p in named if p.ndim < 2 or n in plain]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98), fused=True)

    def factor(step: int) -> float:
        if step < config.warmup_steps:
            return (step + 1) / config.warmup_steps
        done = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * done))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def draw(config: PretrainConfig) -> Corpus:
    """Return the images that a recipe asks for."""
    jobs = mixed_jobs(
        seed=config.seed,
        images=config.images,
        shares=config.styles,
        weights=config.weights,
        side=model_config()["vision_cfg"]["image_size"],
    )
    return draw_corpus(jobs, processes=config.processes)


def pretrain(config: PretrainConfig, corpus: Corpus) -> tuple[CLIP, list[float]]:
    """Return the trained model in evaluation mode, and the mean loss of each epoch."""
    model = new_model(config.seed).to(memory_format=torch.channels_last).train()
    steps = config.epochs * (len(corpus.facts_NF) // config.batch_size)
    if steps == 0:
        raise ConfigError(
            f"`batch_size` {config.batch_size} is more than the {len(corpus.facts_NF)} images."
        )
    optimizer, schedule = optimizer_for(model, config, steps)
    rng = np.random.default_rng([config.seed, 2])
    history: list[float] = []
    with tqdm(total=steps, unit="step", desc="pretraining") as bar:
        for _ in range(config.epochs):
            losses = []
            for batch in batches(corpus, config, rng):
                losses.append(_step(model, optimizer, batch))
                schedule.step()
                bar.update()
            history.append(float(np.mean(losses)))
            bar.set_postfix(loss=f"{history[-1]:.3f}", scale=f"{model.logit_scale.exp():.0f}")
    return model.eval(), history


def _step(
    model: CLIP,
    optimizer: torch.optim.Optimizer,
    batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> float:
    """Take one optimiser step and return its loss."""
    images, tokens, true = batch
    scale = model.logit_scale.exp()
    loss = contrastive_loss(model.encode_image(images), model.encode_text(tokens), true, scale)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
    return float(loss.detach())


def save(model: CLIP, path: Path) -> None:
    """Write the weights as float16 safetensors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
    }
    save_file(tensors, path)
