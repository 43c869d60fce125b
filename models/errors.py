"""Every error that Croft raises on purpose.

CroftError
├── ImageError              one image cannot be used; its neighbours can
│   ├── UnsupportedFormat       not an image, or a format without a decoder
│   ├── ImageTooLarge           more pixels than allowed
│   └── Undecodable             an image format, but broken data, or made to be endless
├── BundleError             a bundle cannot be trusted
│   ├── BundleMissing           nothing, or not a bundle, at that path
│   ├── BundleCorrupt           a file or field is not what the manifest promises
│   └── BundleTooNew            written by a later version
├── RuntimeMissing          no inference runtime, two of them, or not the one asked for
├── DataError               the data set cannot be trained or calibrated on
│   └── TooFewImages            too few for the promise that was asked for
├── ConfigError             a setting, flag or file of settings is wrong
└── BackboneError           weights or an architecture cannot be had or exported
"""


class CroftError(Exception):
    """Base of all of them: the message says what was given, what is allowed, what to do."""


class ImageError(CroftError):
    """One image cannot be used."""


class UnsupportedFormat(ImageError):
    """Not an image, or an image format that this installation cannot decode."""


class ImageTooLarge(ImageError):
    """The image has more pixels than allowed."""


class Undecodable(ImageError):
    """The format is known, but the data is broken, or of more parts than are read."""


class BundleError(CroftError):
    """A bundle cannot be trusted."""


class BundleMissing(BundleError):
    """There is no bundle at that path."""


class BundleCorrupt(BundleError):
    """A file or a field of the bundle is not what its manifest promises."""


class BundleTooNew(BundleError):
    """The bundle's format was defined after this version of Croft."""


class RuntimeMissing(CroftError):
    """onnxruntime is absent, doubled, or lacks the provider asked for."""


class DataError(CroftError):
    """The data set cannot be trained or calibrated on."""


class TooFewImages(DataError):
    """Too few images for the promise that was asked for."""

    def __init__(self, message: str, *, needed: int) -> None:
        """``needed``: how many images would do."""
        super().__init__(message)
        self.needed = needed


class ConfigError(CroftError):
    """A setting, a flag or a file of settings is wrong."""


class BackboneError(CroftError):
    """Weights or an architecture cannot be had, or cannot be exported."""
