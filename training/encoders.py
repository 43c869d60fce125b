"""The frozen vision-language model of a run: an open_clip backbone, or a foreign ONNX encoder.

Axes: N training images, K classes, M negative names, D embedding.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.errors import ConfigError
from models.nn.backbone import find_backbone, load_backbone
from models.preprocess import Preprocess
from training.class_names import ClassSpec, listed
from training.export import export_encoder
from training.graph_cache import ExportedEncoder
from training.negative_names import prompts_like
from training.text_features import (
    ClassFeatures,
    TextTable,
    check_aliases,
    class_features,
    load_aliases,
    negative_features,
)
from training.tune import Negatives, TextSource
from training.wrap import EncoderSpec, wrap_encoder

MakeText = Callable[[NDArray[np.float32], NDArray[np.int64]], TextSource]
"""From the plain training embeddings (N, D) and labels (N,), which only a class without text
features needs."""

DEFAULT_PRETRAINED: Final = {"ViT-B-16": "laion2b_s34b_b88k"}
"""Weights of the architectures that need no tag."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderRequest:
    """Which encoder: a backbone with its weights, or three files that make a foreign one."""

    backbone: str = "ViT-B-16"
    """An open_clip architecture, a file that describes one, or ``toybox``."""
    pretrained: str | None = None
    """Its weights: a tag or a file; None where the backbone brings its own."""
    encoder: Path | None = None
    """A foreign image encoder, ONNX; takes precedence over the backbone."""
    spec: Path | None = None
    """How to feed it."""
    text_features: Path | None = None
    """Its class features."""
    aliases: Path | None = None
    """Class names -> names in the text features."""

    def __post_init__(self) -> None:
        """Refuse half of a foreign encoder."""
        given = [self.encoder, self.spec, self.text_features]
        if any(given) and not all(given):
            raise ConfigError(
                "`--encoder`, `--encoder-spec` and `--text-features` belong together: give all "
                "three, or none for an open_clip backbone."
            )
        if self.encoder and self.pretrained:
            raise ConfigError("`--pretrained` is for `--backbone`; an `--encoder` has its weights.")
        if self.aliases and not self.encoder:
            raise ConfigError("`--aliases` are for `--text-features`: give the three files too.")


@dataclass(frozen=True, kw_only=True, slots=True)
class DualEncoder:
    """An image encoder as ONNX, and the text features that belong to it."""

    name: str
    """The architecture, or the file's name."""
    pretrained: str
    """Tag or file of the weights."""
    licence: str
    """Of the weights."""
    source: str
    """Where they came from."""
    exported: ExportedEncoder
    """The graph."""
    preprocess: Preprocess
    """Picture -> pixels."""
    text: MakeText
    """What the classes look like from the text side."""
    notes: list[str] = field(default_factory=list)
    """What a person should know about this encoder; grows while it is used."""


def check_encoder(request: EncoderRequest) -> None:
    """Find what is asked for, before anything slow: names, files, and weights that are fetched.

    Raises:
        BackboneError: architecture or weights cannot be had.
        ConfigError: a file of a foreign encoder cannot be read.
    """
    if request.encoder and request.spec and request.text_features:
        if not request.encoder.is_file():
            raise ConfigError(f"--encoder {request.encoder}: no such file.")
        EncoderSpec.read(request.spec)
        TextTable.load(request.text_features)
        if request.aliases:
            load_aliases(request.aliases)
    else:
        find_backbone(request.backbone, _pretrained(request))


def open_encoder(
    request: EncoderRequest,
    classes: Sequence[ClassSpec],
    *,
    cache: Path,
    negatives: Sequence[str] = (),
) -> DualEncoder:
    """Load, export and check the encoder of a run.

    Args:
        request: which.
        classes: in index order.
        cache: of exported graphs.
        negatives: names that are no class, which get text features beside the classes'.

    Raises:
        BackboneError: architecture or weights cannot be had or exported.
        ConfigError: the files of a foreign encoder do not fit together, or have no text feature of
            any negative name.
    """
    if request.encoder and request.spec and request.text_features:
        return _foreign(
            request.encoder,
            EncoderSpec.read(request.spec),
            TextTable.load(request.text_features),
            load_aliases(request.aliases) if request.aliases else {},
            classes,
            negatives,
            cache,
        )
    return _backbone(request, classes, negatives, cache)


def _backbone(
    request: EncoderRequest,
    classes: Sequence[ClassSpec],
    negatives: Sequence[str],
    cache: Path,
) -> DualEncoder:
    backbone = load_backbone(request.backbone, _pretrained(request))

    def text(_: NDArray[np.float32], __: NDArray[np.int64]) -> TextSource:
        return TextSource.of(
            backbone,
            names=[spec.display_name for spec in classes],
            prompts=[spec.prompts for spec in classes],
            negatives=prompts_like(classes, negatives),
        )

    return DualEncoder(
        name=backbone.name,
        pretrained=backbone.pretrained,
        licence=backbone.licence,
        source=backbone.source,
        exported=export_encoder(backbone, cache=cache),
        preprocess=backbone.preprocess,
        text=text,
    )


def _pretrained(request: EncoderRequest) -> str | None:
    return request.pretrained or DEFAULT_PRETRAINED.get(request.backbone)


def _foreign(
    encoder: Path,
    spec: EncoderSpec,
    table: TextTable,
    aliases: dict[str, list[str]],
    classes: Sequence[ClassSpec],
    negatives: Sequence[str],
    cache: Path,
) -> DualEncoder:
    # Here, before hours of embedding.
    check_aliases(aliases, classes, table)
    found, notes = negative_features(negatives, table)
    if found and not any(table.find(aliases.get(c.name, [c.name])) is not None for c in classes):
        raise ConfigError(
            "No class has a text feature: negative names have nothing to be compared with. Give "
            "--aliases, or leave --negatives out."
        )

    def text(train_ND: NDArray[np.float32], labels_N: NDArray[np.int64]) -> TextSource:
        seen = class_features(classes, table, aliases, train_ND, labels_N)
        note = (
            f"{len(seen.missing)} of {len(classes)} classes have no text feature and take the "
            "mean of their training embeddings, and text is moved to meet it: "
            f"{listed(seen.missing)}."
        )
        if seen.missing and note not in notes:
            notes.append(note)
        return TextSource(
            features_KD=seen.features_KD,
            logit_scale=spec.logit_scale,
            name=encoder.stem,
            class_names=tuple(spec.display_name for spec in classes),
            negatives=_moved(found, seen),
            remake=text if seen.missing else None,
        )

    return DualEncoder(
        name=encoder.stem,
        pretrained=encoder.name,
        licence=spec.licence,
        source="a file given by the user",
        exported=wrap_encoder(encoder, spec, cache=cache),
        preprocess=spec.preprocess,
        text=text,
        notes=notes,
    )


def _moved(found: Mapping[str, NDArray[np.float32]], seen: ClassFeatures) -> Negatives | None:
    if not found:
        return None
    text_MD = np.stack(list(found.values()))
    return Negatives(names=tuple(found), features_MD=seen.moved(text_MD))
