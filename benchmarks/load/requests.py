"""Images and the HTTP requests that carry them."""

from pathlib import Path

from PIL import Image

from training.toybox.images import KNOWN, STYLES, UNKNOWN, render

SIDE = 256
"""Side of an image in pixels; a file is about 10 KB, like a thumbnail or a small photograph."""
_BOUNDARY = "image-boundary"


def draw_images(folder: Path, *, count: int) -> list[bytes]:
    """Return JPEG files of known and unknown objects, drawn once into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    names = (*KNOWN, *UNKNOWN)
    files = [folder / f"{index:03}.jpg" for index in range(count)]
    for index, file in enumerate(files):
        if not file.exists():
            name, style = names[index % len(names)], STYLES[index % len(STYLES)]
            pixels_HWC = render(name, style, seed=41, index=index, size=SIDE)
            Image.fromarray(pixels_HWC).save(file, quality=85)
    return [file.read_bytes() for file in files]


def raw(path: str, image: bytes) -> bytes:
    """Return a request whose body is the image."""
    return _post(path, "image/jpeg", image)


def form(path: str, image: bytes) -> bytes:
    """Return a request with the image as the field ``file`` of a form."""
    head = (
        f"--{_BOUNDARY}\r\n"
        'Content-Disposition: form-data; name="file"; filename="image.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    body = head.encode() + image + f"\r\n--{_BOUNDARY}--\r\n".encode()
    return _post(path, f"multipart/form-data; boundary={_BOUNDARY}", body)


def _post(path: str, content_type: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
