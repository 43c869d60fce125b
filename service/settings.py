"""How a process is deployed: ``CROFT_*`` environment variables, read once, then unchangeable."""

import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from models.decode import MAX_PIXELS
from models.embed import usable_cores
from models.errors import ConfigError
from service.waiting import BATCH_BODIES_DIVISOR, BATCH_BYTES_DIVISOR

PREFIX: Final = "CROFT_"
_MIB: Final = 2**20


class Settings(BaseSettings):
    """Every field is the variable ``CROFT_<FIELD>``; docs/configuration.md lists them."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore"
    )

    bundles: Annotated[tuple[Path, ...], NoDecode] = ()
    """Bundles or folders of them, the first being the default; none: the Toybox that ships."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(8000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    max_body_bytes: int = Field(10 * _MIB, ge=1)
    """Largest request body."""
    max_batch_bytes: int = Field(64 * _MIB, ge=1)
    """Largest body of a request that may hold many images."""
    max_batch_images: int = Field(1000, ge=1)
    """Most images in one request."""
    max_pixels: int = Field(MAX_PIXELS, ge=1)
    """Largest width x height of an image."""
    queue_images: int = Field(128, ge=1)
    """How many images may wait for one encoder."""
    queue_bytes: int = Field(256 * _MIB, ge=1)
    """How many bytes of images may wait for one encoder."""
    processes: int = Field(1, ge=1)
    """Processes behind the port."""
    workers: int = Field(
        default_factory=lambda given: max(1, usable_cores() // given["processes"]), ge=1
    )
    """Threads of a process that decode and encode, for each encoder."""
    max_batch: int = Field(8, ge=1)
    """Most images that a worker takes at once."""
    batch_delay_ms: float = Field(0.0, ge=0, le=1000)
    """Milliseconds that a worker waits for a batch to fill up."""
    self_test: Literal["fail", "warn"] = "fail"
    """Whether a golden image that is not reproduced keeps the service from being ready."""
    provider: Literal["cpu", "cuda"] = "cpu"
    """Where the encoder runs."""
    top_k: int = Field(5, ge=1)
    """How many candidates an answer names if the request does not say."""
    request_timeout: float = Field(30.0, gt=0, allow_inf_nan=False)
    """Seconds that a request may take, its upload included, or its reader may stop."""
    upload_pause_seconds: float = Field(5.0, gt=0, allow_inf_nan=False)
    """Seconds for which no byte of an upload may come."""
    max_connections: int = Field(800, ge=1)
    """Most connections that a process keeps open."""
    keep_alive_seconds: int = Field(75, ge=1)
    """Seconds that a connection may wait for its next request."""
    drain_seconds: float = Field(20.0, ge=0, allow_inf_nan=False)
    """Seconds that requests in flight get to finish after SIGTERM."""
    stall_seconds: float = Field(60.0, gt=0, allow_inf_nan=False)
    """Seconds without a heartbeat after which a worker that holds images counts as stuck."""
    auth: Literal["keys", "off"] | None = None
    """Whether requests need a key; by default as ``service.access.read_key_ring`` says."""
    keys_file: Path | None = None
    """Where the keys' hashes are."""
    rate_limit: str | None = None
    """How many images one caller may send, such as ``100/minute``."""
    rate_limit_storage: str = "memory://"
    """Where callers' images are counted. It may hold a password."""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins whose pages may call the service from a browser."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is logged."""
    log_format: Literal["json", "console"] = "json"
    """How: an object a line, or for a person to read."""

    @field_validator("bundles", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Read a list of directories as PATH is written."""
        if isinstance(value, str):
            return tuple(part for part in value.split(os.pathsep) if part)
        return value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        """Read a list with commas."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @model_validator(mode="after")
    def _largest_bodies_fit_the_queue(self) -> Self:
        bodies, images = BATCH_BODIES_DIVISOR, BATCH_BYTES_DIVISOR
        if self.queue_bytes < max(bodies * self.max_batch_bytes, images * self.max_body_bytes):
            raise ValueError(
                f"queue_bytes ({self.queue_bytes}) must be at least {bodies} times "
                f"max_batch_bytes ({self.max_batch_bytes}) and {images} times max_body_bytes "
                f"({self.max_body_bytes}): batches may hold 1/{bodies} of it, and their images "
                f"1/{images}"
            )
        return self


def read_settings(**flags: Any) -> Settings:
    """Read the environment; a flag that is given (not None) wins over it.

    Raises:
        ConfigError: naming the variable, what was given and what is allowed.
    """
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        raise ConfigError(
            "\n".join(
                _explain(e["loc"], e["msg"], e["input"])
                for e in error.errors(include_url=False)
                if e["type"] != "default_factory_not_called"  # for want of another that is wrong
            )
        ) from error


def _explain(loc: tuple[int | str, ...], message: str, given: object) -> str:
    if not loc:
        return f"Settings do not fit together: {message}."
    return f"{PREFIX}{str(loc[0]).upper()} was given as {given!r}: {message}."
