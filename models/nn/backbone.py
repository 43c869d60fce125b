"""The frozen vision-language model: any open_clip architecture, with its weights.

Axes: K classes, P prompts, L tokens, D embedding.
"""

import copy
import difflib
import hashlib
import json
import pickle
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final, Literal, cast

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.errors import BackboneError, ConfigError
from models.nn.text_tower import TextTower
from models.nn.weights import Weights, find_weights
from models.preprocess import Preprocess

TOYBOX: Final = "toybox"
"""The architecture and weights that ship with Croft."""

_PROMPTS_AT_ONCE: Final = 256
_CLIP_SETTINGS: Final[dict[str, Any]] = {
    "mean": open_clip.OPENAI_DATASET_MEAN,
    "std": open_clip.OPENAI_DATASET_STD,
    "interpolation": "bicubic",
}
_REQUIRED: Final = ("embed_dim", "vision_cfg", "text_cfg")


class Visual(nn.Module):
    """The image encoder: normalised pixels (B, 3, H, W) -> embeddings (B, D)."""

    def __init__(self, tower: nn.Module) -> None:
        """Wrap open_clip's tower, some of which return their tokens too."""
        super().__init__()
        self.tower = tower

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Return embeddings (B, D), not normalised."""
        output = self.tower(pixels_BCHW)
        return cast(Tensor, output[0] if isinstance(output, tuple) else output)


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A frozen vision-language model in float32 and what is needed to use it."""

    name: str
    """The architecture: open_clip's name, a configuration file's, or ``toybox``."""
    pretrained: str
    """The tag or file of its weights, or ``random``."""
    digest: str
    """``sha256:...`` of the weights: names and bytes."""
    architecture: str
    """What the weights are built into, as JSON: heads and activations have no weights."""
    licence: str
    """Of the weights, where known."""
    source: str
    """Where the weights came from."""
    preprocess: Preprocess
    """Picture -> pixels."""
    mean: tuple[float, ...]
    """Per channel, of pixels in 0..1."""
    std: tuple[float, ...]
    """Per channel, of pixels in 0..1."""
    embedding_dim: int
    """D."""
    logit_scale: float
    """The inverse temperature it was trained with; about 100 for CLIP."""
    model: nn.Module
    """The open_clip model."""
    tokenizer: Any
    """Texts -> tokens."""

    @property
    def visual(self) -> Visual:
        """The image encoder."""
        return Visual(cast(nn.Module, self.model.visual)).eval()

    def text_tower(self) -> TextTower:
        """Return the text encoder, open at its input.

        Raises:
            ConfigError: it is of a kind that takes no free vectors.
        """
        return TextTower(self.model, self.tokenizer, name=self.name)

    def text_features(self, prompts_K: Sequence[Sequence[str]]) -> NDArray[np.float32]:
        """Return one feature a class, (K, D): the mean of its normalised prompts."""
        features_PD = self._encode([prompt for prompts in prompts_K for prompt in prompts])
        features_PD = nn.functional.normalize(features_PD, dim=1)
        counts = [len(prompts) for prompts in prompts_K]
        means = [rows.mean(dim=0) for rows in torch.split(features_PD, counts)]
        return np.asarray(torch.stack(means).numpy(), dtype=np.float32)

    @torch.no_grad()
    def _encode(self, prompts_P: Sequence[str]) -> Tensor:
        batches = [
            prompts_P[start : start + _PROMPTS_AT_ONCE]
            for start in range(0, len(prompts_P), _PROMPTS_AT_ONCE)
        ]
        try:
            tower = self.text_tower()
        except ConfigError:
            encode = cast(Any, self.model).encode_text
            return torch.cat([encode(self.tokenizer(list(batch))) for batch in batches])
        return torch.cat([_encode_short(tower, batch) for batch in batches])


def find_backbone(name: str, pretrained: str | None = None) -> None:
    """Make sure that ``load_backbone`` will find what it is asked for; weights may be fetched.

    Raises:
        BackboneError: unknown architecture or tag, or weights that cannot be fetched.
    """
    with as_file(files("models") / TOYBOX) as folder:
        _configuration(name, folder)
        _weights(name, pretrained, folder)


def load_backbone(name: str, pretrained: str | None = None, *, seed: int = 0) -> Backbone:
    """Load a vision-language model, frozen and in float32.

    Args:
        name: an architecture of open_clip, the path of an open_clip configuration (.json), or
            ``toybox``.
        pretrained: a tag of open_clip, the path of a state dict, or ``random``. None for
            ``toybox``, which brings its own.
        seed: of random weights.

    Raises:
        BackboneError: unknown architecture or tag, weights that cannot be fetched or do not fit.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(as_file(files("models") / TOYBOX))
        config, defaults = _configuration(name, folder)
        weights = _weights(name, pretrained, folder)
        model = _build(name, config, weights, seed=seed)
    settings = _settings(model, defaults, weights.settings)
    return Backbone(
        name=Path(name).stem if name.endswith(".json") else name,
        pretrained=weights.name,
        digest=weights_digest(model),
        architecture=json.dumps(_arguments(config, weights), sort_keys=True),
        licence=weights.licence,
        source=weights.source,
        preprocess=_preprocess(name, settings),
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
        embedding_dim=int(config["embed_dim"]),
        logit_scale=float(cast(Tensor, model.logit_scale).exp()),
        model=model,
        tokenizer=_tokenizer(name, config),
    )


def weights_digest(model: nn.Module) -> str:
    """Return ``sha256:...`` over the state dict: names and bytes, sorted by name."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"


def _encode_short(tower: TextTower, prompts_P: Sequence[str]) -> Tensor:
    ids_PL, last_P = tower.framed([tower.tokens(prompt) for prompt in prompts_P])
    return tower.encode(tower.embed(ids_PL), last_P)


def _configuration(name: str, toybox: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the model's configuration, and what its file says about preprocessing."""
    path = toybox / "toybox.json" if name == TOYBOX else Path(name)
    if path.suffix != ".json":
        config = open_clip.get_model_config(name)
        if config is None:
            raise BackboneError(_unknown_architecture(name))
        return config, {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackboneError(f"{path}: not a configuration that can be read: {error}.") from error
    config = document.get("model_cfg", document)
    if missing := [key for key in _REQUIRED if key not in config]:
        raise BackboneError(f"{path}: an open_clip configuration has {_REQUIRED}; no {missing}.")
    return config, document.get("preprocess_cfg", {})


def _unknown_architecture(name: str) -> str:
    known = open_clip.list_models()
    near = difflib.get_close_matches(name, known, n=6, cutoff=0.3) or known[:6]
    return (
        f"open_clip has no architecture `{name}`. Near it are {', '.join(near)}; all {len(known)} "
        "are listed by `python -c 'import open_clip; print(open_clip.list_models())'`. Or give "
        f"the path of an open_clip configuration (.json), or `{TOYBOX}`."
    )


def _weights(name: str, pretrained: str | None, toybox: Path) -> Weights:
    if name != TOYBOX or pretrained is not None:
        return find_weights(name, pretrained)
    path = toybox / "toybox.safetensors"
    if not path.is_file():
        raise BackboneError(
            f"The weights of `{TOYBOX}` are missing from this installation ({path.name}). Make "
            "them with `croft toybox pretrain`, or pass `--pretrained random`."
        )
    return Weights(path=path, name=TOYBOX, licence="MIT", source="shipped with Croft")


def _build(name: str, config: Mapping[str, Any], weights: Weights, *, seed: int) -> nn.Module:
    arguments = _arguments(config, weights)
    custom = arguments.pop("custom_text", False) or "hf_model_name" in arguments["text_cfg"]
    kind = open_clip.CLIP
    if custom:
        kind = open_clip.CoCa if "multimodal_cfg" in arguments else open_clip.CustomTextCLIP
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # of the fork; what the caller draws is not touched
            model: nn.Module = kind(**arguments)
    except Exception as error:  # open_clip and timm raise anything
        raise BackboneError(f"open_clip cannot build `{name}`: {error}") from error
    if weights.path is not None:
        _load(model, weights.path, name)
    return model.float().eval().requires_grad_(False)


def _arguments(config: Mapping[str, Any], weights: Weights) -> dict[str, Any]:
    """Return what open_clip builds a model by, never asking the network for a part of it."""
    arguments = copy.deepcopy(dict(config))
    text, vision = arguments["text_cfg"], arguments["vision_cfg"]
    if "hf_model_name" in text:
        text["hf_model_pretrained"] = False
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    if weights.settings.get("quick_gelu"):
        arguments["quick_gelu"] = True
    return arguments


def _load(model: nn.Module, path: Path, name: str) -> None:
    try:
        open_clip.load_checkpoint(model, str(path), weights_only=True)
    except pickle.UnpicklingError as error:
        raise BackboneError(
            f"{path} is not a plain state dict, and Croft runs no code from weights: convert it "
            "to .safetensors on a machine where it is trusted."
        ) from error
    except Exception as error:  # whatever a broken or foreign file causes
        reason = str(error).strip().split("\n")[:3]
        raise BackboneError(
            f"{path} does not hold weights of `{name}`: {' '.join(reason)} Give the architecture "
            "these weights belong to, or weights of this one."
        ) from error


def _settings(
    model: nn.Module, defaults: Mapping[str, Any], tag: Mapping[str, Any]
) -> dict[str, Any]:
    stated = {name: value for name, value in {**defaults, **tag}.items() if value is not None}
    return _CLIP_SETTINGS | stated | {"size": cast(Any, model.visual).image_size}


def _preprocess(name: str, settings: Mapping[str, Any]) -> Preprocess:
    """Return resize and centre crop, also for models that were trained on squashed pictures."""
    size = settings["size"]
    height, width = (size, size) if isinstance(size, int) else size
    if height != width:
        raise BackboneError(
            f"`{name}` takes pictures of {height} x {width} pixels; only square ones are supported."
        )
    interpolation: Literal["bicubic", "bilinear"] = (
        "bilinear" if settings["interpolation"] == "bilinear" else "bicubic"
    )
    return Preprocess(resize=height, crop=height, interpolation=interpolation)


def _tokenizer(name: str, config: Mapping[str, Any]) -> Any:
    text = config["text_cfg"]
    try:
        if open_clip.get_model_config(name) is not None:
            return open_clip.get_tokenizer(name)
        if text.get("hf_tokenizer_name"):
            return open_clip.tokenizer.HFTokenizer(
                text["hf_tokenizer_name"], context_length=text.get("context_length", 77)
            )
    except Exception as error:  # no package for it, no connection, no such tokenizer
        raise BackboneError(
            f"The tokenizer of `{name}` ({text.get('hf_tokenizer_name')}) cannot be loaded: "
            f"{error}. It needs the package `transformers`, and its files in the local cache."
        ) from error
    return open_clip.SimpleTokenizer(context_length=text.get("context_length", 77))
