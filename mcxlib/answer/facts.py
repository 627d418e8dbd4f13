"""What a file says of itself: container, encoder, tags, content credentials.

Facts beside the score: anybody can write them into a file, and tools take them out.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mcxlib.answer.schema import Credentials

MOST_TAGS = 40
MOST_LETTERS = 200
"""Of one tag: files may hold pages of text in them."""

_START = 1 << 16
"""Bytes of the first packets in which an encoder's own words are looked for."""

_ENCODER = re.compile(rb"x26[45] [-(][ -~]{0,4000}")
_QUALITY = re.compile(rb"crf=(\d+(?:\.\d+)?)")
_CAMERA = ("com.apple.quicktime.make", "com.android.manufacturer", "make", "Make")
_TIMES = ("creation_time", "datetime", "datetimeoriginal")
_CONVERTERS = ("Lavf", "Lavc", "HandBrake", "mkvmerge", "GPAC", "Google")


def of_video(path: Path) -> dict[str, Any]:
    """Fields of :class:`mcxlib.answer.schema.FileFacts`, by reading a video's header and first
    packet.

    Raises:
        UnreadableVideo: it cannot be opened.
    """
    from mcxlib.data.video.container import open_video, video_stream

    with open_video(path) as container:
        stream = video_stream(container, path)
        context = stream.codec_context
        tags = {**container.metadata, **stream.metadata}
        rate = stream.average_rate
        spoken = _spoken(container, stream)
        seconds = container.duration / 1e6 if container.duration else None
        encoder = tags.get("encoder") or tags.get("ENCODER") or ""
        found = {
            "container": container.format.name,
            "codec": context.codec.canonical_name,
            "width": context.width,
            "height": context.height,
            "frames_per_second": float(rate) if rate else None,
            "seconds": float(seconds) if seconds is not None else None,
        }
    return found | {
        "encoder": _clean("; ".join(filter(None, (encoder, spoken)))),
        "tags": _tags(tags),
        "hints": tuple(_hints(tags, encoder, spoken)),
    }


def of_image(path: Path) -> dict[str, Any]:
    """The same for an image file; what cannot be read is left out."""
    from PIL import ExifTags, Image

    from mcxlib.data.video.kinds import obstacle

    if obstacle(path):
        return {}
    try:
        with Image.open(path) as image:
            exif = {ExifTags.TAGS.get(k, str(k)): v for k, v in image.getexif().items()}
            words = {str(k): v for k, v in image.info.items() if isinstance(v, str)}
            kind = image.format or ""
            found: dict[str, Any] = {"container": kind, "codec": kind}
            found |= {"width": image.width, "height": image.height}
    except Exception:  # Pillow's readers meet broken files with errors of every kind
        return {}
    words |= {k: str(v) for k, v in exif.items() if isinstance(v, str | int | float)}
    encoder = words.get("Software", "")
    return found | {
        "encoder": _clean(encoder),
        "tags": _tags(words),
        "hints": tuple(_hints(words, encoder, "")),
    }


def credentials(path: Path) -> Credentials:
    """What the C2PA content credentials inside a file say; nothing is fetched to check them."""
    try:
        import c2pa
    except ImportError:
        return Credentials(state="not checked", problems=("c2pa-python is not installed",))
    offline = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
    try:
        with c2pa.Context.from_dict(offline) as context:
            reader = c2pa.Reader.try_create(path, context=context)
            if reader is None:
                return Credentials(state="none")
            with reader:
                return _said(json.loads(reader.json()))
    except Exception as error:  # of every kind, also for kinds of files it does not know
        return _failed(str(error))


def _said(store: dict[str, Any]) -> Credentials:
    active = store.get("manifests", {}).get(store.get("active_manifest"), {})
    signature = active.get("signature_info") or {}
    made_by = active.get("claim_generator_info") or [{}]
    generator = active.get("claim_generator") or made_by[0].get("name", "")
    state = store.get("validation_state", "")
    codes = [
        str(entry.get("code", ""))
        for entry in (store.get("validation_results") or {})
        .get("activeManifest", {})
        .get("failure", [])
    ]
    return Credentials(
        state="valid" if state in ("Valid", "Trusted") else "invalid",
        signer=_clean(signature.get("common_name") or signature.get("issuer") or ""),
        generator=_clean(str(generator)),
        problems=tuple(_clean(code) for code in dict.fromkeys(codes)),
    )


def _failed(message: str) -> Credentials:
    kind = message.split(":")[0]
    if "ManifestNotFound" in kind:
        return Credentials(state="none")
    if kind in ("NotSupported", "RemoteManifest") or "unsupported" in message.lower():
        return Credentials(state="not checked", problems=(_clean(message),))
    return Credentials(state="invalid", problems=(_clean(message),))


def _spoken(container: Any, stream: Any) -> str:
    """What x264 and x265 write into the first frame: their name, and the quality asked for."""
    import av

    try:
        for number, packet in enumerate(container.demux(stream)):
            if words := _ENCODER.search(bytes(packet)[:_START]):
                name, quality = words[0][:4].decode("ascii"), _QUALITY.search(words[0])
                return f"{name} at crf {quality[1].decode('ascii')}" if quality else name
            if number >= 2:
                break
    except av.error.FFmpegError:
        pass
    return ""


def _hints(tags: dict[str, str], encoder: str, spoken: str) -> list[str]:
    hints = []
    if spoken:
        hints.append(f"encoded by {spoken}: a software encoder, no camera's")
    if any(encoder.startswith(name) for name in _CONVERTERS):
        hints.append(f"written by {_clean(encoder)}: a program that converts or copies videos")
    makers = [tags[name] for name in _CAMERA if tags.get(name)]
    if makers:
        hints.append(f"names {_clean(makers[0])} as the maker of its camera, as any program can")
    if not any(name.lower() in _TIMES for name in tags):
        hints.append("holds no time of recording")
    return hints


def _tags(tags: dict[str, str]) -> dict[str, str]:
    kept = list(tags.items())[:MOST_TAGS]
    return {_clean(str(name)): _clean(str(value)) for name, value in kept}


def _clean(text: str) -> str:
    """Printable, in one line, and short: it ends up on terminals and in reports."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 3] + "..."
