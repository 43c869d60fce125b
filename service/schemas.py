"""What goes over the wire, as OpenAPI describes it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True)


class CandidateBody(_Body):
    """A class the image may show."""

    label: str
    index: int
    probability: float = Field(description="If the image shows one of the known classes at all.")


class ScoreBody(_Body):
    """The score that decides."""

    name: str
    value: float = Field(description="Higher = more unusual.")
    threshold: float = Field(description="Rejected when `value` is larger.")


class DecisionBody(_Body):
    """What the bundle says of an image; that it shows none of the classes is a decision, too."""

    label: str | None = Field(description="The class; null when rejected.")
    rejected: bool = Field(description="Whether it is none of the known classes.")
    energy: float = Field(description="-logsumexp of the logits; higher = more unusual.")
    score: ScoreBody
    p_value: float = Field(
        description="Share of the calibration images that are at least as unusual."
    )
    p_cut: float = Field(description="Rejected exactly when `p_value` is at most this.")
    candidates: list[CandidateBody] = Field(description="Best first, also when rejected.")


class _Answer(_Body):
    request_id: str
    bundle: str = Field(description="`name@version`, as `?bundle=` takes it.")


class Classification(DecisionBody, _Answer):
    """The answer for one image; a rejected one is an answer, too."""


class Problem(_Body):
    """An error, RFC 9457."""

    type: str
    title: str
    status: int
    detail: str = Field(description="What was given, what is allowed, what to do.")
    instance: str
    request_id: str
    error: str = Field(description="The same as `detail`, for clients that look here.")


class _Item(_Body):
    index: int = Field(description="Which image of the batch, from 0.")
    name: str | None = Field(description="Its file name or id, as it was sent; null without one.")
    status: int = Field(description="What `/classify` would have answered.")


class AnsweredItem(DecisionBody, _Item):
    """An image of a batch that got a decision."""


class FailedItem(_Item):
    """An image of a batch that got none."""

    problem: Problem


class BatchCounts(_Body):
    """The images of a batch by outcome."""

    images: int = Field(description="All of them.")
    accepted: int
    rejected: int
    invalid: int = Field(description="Status 4xx.")
    failed: int = Field(description="Status 500.")
    shed: int = Field(description="Status 503 or 504: worth another try.")


class BatchAnswer(_Answer):
    """The answers for a batch, in the order of its images."""

    items: list[AnsweredItem | FailedItem]
    counts: BatchCounts


class BatchSummary(_Answer):
    """The last line of a stream; one without it was cut off."""

    summary: BatchCounts


class ClassBody(_Body):
    """A known class."""

    name: str
    display_name: str


class ThresholdBody(_Body):
    """The promise, and what it rests on."""

    method: Literal["pac", "conformal"]
    alpha: float = Field(description="Largest share of known images that may be rejected.")
    delta: float | None = Field(description="Probability that the promise fails; null: on average.")
    n: int = Field(description="Calibration images.")
    rank: int
    value: float
    p_cut: float
    expected_rejection_rate: float = Field(description="Share of known images, on average.")


class BundleSummary(_Body):
    """A loaded bundle."""

    name: str
    version: str
    default: bool = Field(description="Whether it answers when a request names none.")
    classes: list[ClassBody]
    score: str
    threshold: ThresholdBody
    marginal: bool = Field(description="Whether the promise holds only on average (conformal).")


class Histogram(_Body):
    """The calibration scores: `counts[i]` of them lie between `edges[i]` and `edges[i + 1]`."""

    edges: list[float]
    counts: list[int]


class Traffic(_Body):
    """What this process has answered so far: `images[i]` had a p-value of at most `p[i]`."""

    accepted: int
    rejected: int
    p: list[float]
    images: list[int]


class BundleDetail(BundleSummary):
    """A loaded bundle, and what its threshold was chosen from."""

    tuning: str
    backbone: str
    encoder_digest: str
    created: str
    calibration: Histogram
    traffic: Traffic


class Bundles(_Body):
    """All loaded bundles, the default first."""

    bundles: list[BundleSummary]


class Reloaded(_Body):
    """What a reload did, each bundle as `name@version`."""

    added: list[str]
    changed: list[str] = Field(description="Another content under the same name and version.")
    kept: list[str]
    removed: list[str]


class Liveness(_Body):
    """The state of the workers."""

    live: bool
    problems: list[str]


class GoldenResult(_Body):
    """A golden image that this machine does not reproduce."""

    bundle: str
    image: str
    quantity: Literal["energy", "score"]
    expected: float
    got: float | None = Field(description="null: no answer at all.")
    tolerance: float
    reason: str


class Readiness(_Body):
    """Whether requests are welcome; also what a 503 of `/readyz` adds to the problem."""

    ready: bool
    bundles: list[str]
    warnings: list[str]
    failures: list[GoldenResult]


class OipServer(_Body):
    """The server, in the words of the Open Inference Protocol."""

    name: str
    version: str
    extensions: list[str]


class OipHealth(_Body):
    """Whether the server lives; what clients look at is the status."""

    live: bool


class OipModelReady(_Body):
    """Whether a model answers; what clients look at is the status."""

    name: str
    ready: bool


class OipTensor(_Body):
    """A tensor that goes in or comes out; -1 stands for any number of images."""

    name: str
    datatype: Literal["BOOL", "BYTES", "FP64", "INT64"]
    shape: list[int]
    parameters: dict[str, str] | None = None


class OipModel(_Body):
    """A loaded bundle as a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[OipTensor]
    outputs: list[OipTensor]


class OipIndexEntry(_Body):
    """A model of the repository."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class OipOutput(_Body):
    """A tensor of an answer."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, int] | None = Field(
        None, description="`binary_data_size`, instead of `data`, if it follows the JSON."
    )
    data: list[str | float | bool] | None = Field(None, description="One element for each image.")


class OipAnswer(_Body):
    """The decisions, a tensor for each thing that was asked for."""

    model_name: str
    model_version: str
    id: str | None = Field(None, description="That of the request, if it had one.")
    parameters: dict[str, str | float] = Field(
        description="The deciding `score`, its `threshold`, and `p_cut`."
    )
    outputs: list[OipOutput]
