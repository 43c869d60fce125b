"""Tiny open_clip models on disk: a configuration file and random weights that belong to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from models.nn.backbone import Backbone, load_backbone

VISION = {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16}
TEXT = {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}


def write_config(folder: Path, *, name: str = "tiny", text: Any = None, **changes: Any) -> Path:
    """Write an open_clip configuration and return its path."""
    path = folder / f"{name}.json"
    config = {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": TEXT | (text or {}), **changes}
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def write_weights(folder: Path, config: Path, *, seed: int = 0) -> Path:
    """Write random weights for a configuration and return their path."""
    model = load_backbone(str(config), "random", seed=seed).model
    path = folder / f"{config.stem}-{seed}.safetensors"
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)
    return path


def tiny_backbone(folder: Path, **changes: Any) -> Backbone:
    """Return a tiny backbone with random weights, without a file of them."""
    return load_backbone(str(write_config(folder, **changes)), "random")
