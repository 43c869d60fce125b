"""``bundle.json``, format 1: what a bundle says about itself.

The fields are documented for people in docs/bundle-format.md; a test holds the two together.
"""

import json
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)

from models.errors import BundleCorrupt, BundleTooNew, ConfigError
from models.preprocess import Decoder, Interpolation, Preprocess
from models.scores import check_score
from models.threshold import Method, Threshold

FORMAT: Final = 1


def _name(value: str) -> str:
    """Names become paths and labels of metrics: keep them to what is safe in both."""
    allowed = value.isascii() and value.replace("-", "").replace("_", "").replace(".", "").isalnum()
    if not allowed or value.startswith(".") or len(value) > 64:
        raise ValueError("must be 1 to 64 of the characters a-z A-Z 0-9 - _ .")
    return value


def _score_name(value: str) -> str:
    try:
        check_score(value)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return value


def _inside(value: str) -> str:
    """Accept only paths that stay inside the bundle."""
    path = PurePosixPath(value)
    if not value or path.is_absolute() or "\\" in value or ".." in path.parts or ":" in value:
        raise ValueError("must be a relative path inside the bundle")
    if str(path) != value:
        raise ValueError(f"must be written as {path}")
    return value


Name = Annotated[str, AfterValidator(_name)]
FilePath = Annotated[str, AfterValidator(_inside)]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Part(BaseModel):
    """Strict: an unknown or a wrongly typed field is an error, never a guess."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ClassInfo(_Part):
    """One known class. Its index is its position in the list."""

    name: str = Field(min_length=1, max_length=200)
    display_name: str = Field(min_length=1, max_length=200)
    prompts: list[str]


class BackboneInfo(_Part):
    """Which encoder, from where, under which licence."""

    name: str
    pretrained: str
    digest: Digest
    exporter: str
    embedding_dim: int = Field(ge=1)
    precision: Literal["fp32"] = "fp32"
    licence: str
    source: str


class PreprocessInfo(_Part):
    """The fields of ``models.preprocess.Preprocess``, and the decoder that was calibrated with."""

    resize: int = Field(ge=1)
    crop: int = Field(ge=1)
    interpolation: Interpolation
    decoder: Decoder
    decoder_version: str

    def build(self) -> Preprocess:
        """Return the working preprocessing."""
        return Preprocess(**self.model_dump(exclude={"decoder_version"}))


class ScoreInfo(_Part):
    """The score that decides."""

    name: Annotated[str, AfterValidator(_score_name)]


class ThresholdInfo(_Part):
    """The fields of ``models.threshold.Threshold``."""

    method: Method
    alpha: Finite
    delta: Finite | None
    n: int
    rank: int
    value: Finite

    def build(self) -> Threshold:
        """Return the working threshold."""
        return Threshold(**self.model_dump())


class GoldenImage(_Part):
    """An image that travels with the bundle, and what it must give on every machine."""

    file: FilePath
    label: str
    energy: Finite
    score: Finite


class SelfTest(_Part):
    """How far a golden image's energy and score may be from what was recorded."""

    tolerance: Positive
    images: list[GoldenImage]


class FileInfo(_Part):
    """What a file of the bundle must be."""

    sha256: Digest
    bytes: int = Field(ge=0)


class Manifest(_Part):
    """``bundle.json``."""

    format: Literal[1] = FORMAT
    name: Name
    version: Name
    created: str
    croft_version: str
    classes: list[ClassInfo] = Field(min_length=1)
    backbone: BackboneInfo
    preprocess: PreprocessInfo
    logit_scale: Positive
    tuning: str
    score: ScoreInfo
    threshold: ThresholdInfo
    self_test: SelfTest
    dataset: dict[str, JsonValue]
    metrics: dict[str, JsonValue]
    recipe: dict[str, JsonValue]
    provenance: dict[str, JsonValue]
    files: dict[FilePath, FileInfo]

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        names = [c.name for c in self.classes]
        if len(set(names)) != len(names):
            raise ValueError("classes: names must be distinct")
        for field, part in (("threshold", self.threshold), ("preprocess", self.preprocess)):
            try:
                part.build()
            except ConfigError as error:
                raise ValueError(f"{field}: {error}") from error
        for image in self.self_test.images:
            if image.file not in self.files:
                raise ValueError(f"self_test: `{image.file}` is not among `files`")
        return self

    @property
    def reference(self) -> str:
        """``name@version``, which names this bundle among all that are loaded."""
        return f"{self.name}@{self.version}"

    @property
    def marginal(self) -> bool:
        """Whether the promise holds only on average over calibration sets (conformal)."""
        return self.threshold.method == "conformal"

    @property
    def labels(self) -> list[str]:
        """Class names, by index."""
        return [c.name for c in self.classes]


def parse_manifest(text: str, *, where: str) -> Manifest:
    """Read ``bundle.json``.

    Args:
        text: its content.
        where: how messages name it.

    Raises:
        BundleTooNew: a later format.
        BundleCorrupt: not JSON, or a field that is missing, unknown or wrong.
    """
    data = _json_object(text, where)
    found = data.get("format")
    if isinstance(found, int) and found > FORMAT:
        raise BundleTooNew(
            f"{where}: field `format` is {found}; this version of Croft reads {FORMAT}. "
            "Upgrade Croft, or write the bundle again with this version."
        )
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "bundle.json"
        more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise BundleCorrupt(f"{where}: field `{field}`: {first['msg']}{more}.") from error


def _json_object(text: str, where: str) -> dict[str, Any]:
    def refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise BundleCorrupt(f"{where}: field `{key}` is given twice.")
            found[key] = value
        return found

    def refuse_constant(text: str) -> float:
        raise BundleCorrupt(f"{where}: {text} is not a number that a bundle may hold.")

    try:
        data = json.loads(text, object_pairs_hook=refuse_twice, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BundleCorrupt(f"{where}: not valid JSON: {error}.") from error
    if not isinstance(data, dict):
        raise BundleCorrupt(f"{where}: must be a JSON object.")
    return data
