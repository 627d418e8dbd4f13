"""Opening a video file: which containers are read, and never a file that opens other files.

FFmpeg tells a file's kind by its content. Playlists and lists of images (HLS, DASH, concat, image
sequences, SDP) would have it open whatever they name, on this machine or another, so only the
kinds listed here are opened, whatever a file is called.
"""

from __future__ import annotations

import errno
from pathlib import Path

import av
from av.stream import Disposition

from mcxlib.data.video.kinds import MAX_PIXELS, obstacle

CONTAINERS = (
    "mov,matroska,avi,mpegts,mpeg,asf,flv,live_flv,kux,ogg,rm,mxf,gxf,nut,ivf,yuv4mpegpipe,dv,wtv,"
    "nsv,gif,swf,dhav,ty,pva,lxf,flic"
)
"""FFmpeg's names of the containers that are told by a signature and read nothing but themselves:
what a file of any name may be."""

_STREAMS = (
    "h264,hevc,vvc,evc,m4v,mpegvideo,mjpeg,mjpeg_2000,mpjpeg,h263,h261,obu,av1,vc1,vc1test,dirac,"
    "dnxhd,cavsvideo,avs2,avs3,apv"
)
"""Video without a container. Almost anything may look like one, so the name must say video."""

_PICTURES = "jpeg_pipe,png_pipe,bmp_pipe,webp_pipe,tiff_pipe,apng"

_SOUND = "mp3,flac,wav,w64,aac,aiff,ac3,eac3,dts,caf,au,amr,ape,wv,tta,mpc,mpc8"
"""Opened only to say that there is no video in them."""

DEMUXERS = ",".join((CONTAINERS, _STREAMS, _PICTURES, _SOUND))
"""FFmpeg's names of everything that is opened."""

_STILL_BRANDS = frozenset({"heic", "heix", "heim", "heis", "mif1", "mif2", "avif"})
"""MP4's relatives that hold photographs, often as tiles, each of which looks like a video."""


class UnreadableVideo(ValueError):
    """The file cannot be opened or holds no video; the message names it and why."""


def open_video(path: Path) -> av.container.InputContainer:
    """Open a video file for decoding by one thread; :func:`video_stream` is its video.

    Raises:
        UnreadableVideo: no file, not of a kind that is read, without video, or of frames with
            more than ``MAX_PIXELS`` pixels.
    """
    if why := obstacle(path):
        raise UnreadableVideo(f"{path}: {why}")
    container = _opened(path, DEMUXERS)
    try:
        stream = video_stream(container, path)
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > MAX_PIXELS:
            raise UnreadableVideo(
                f"{path}: frames of {width} x {height} pixels are larger than the "
                f"{MAX_PIXELS} allowed"
            )
        # Some files lie in their header; the decoder then refuses the frame itself.
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        # One thread: videos are read by as many processes as there are cores, each further thread
        # would hold frames of its own, and after a seek all of them would have to be filled.
        stream.codec_context.thread_type = "NONE"
        stream.codec_context.thread_count = 1
    except BaseException:
        container.close()
        raise
    return container


def holds_video(path: Path) -> bool:
    """Whether a file of any name is of one of the ``CONTAINERS``, with a video stream in it."""
    try:
        with _opened(path, CONTAINERS) as container:
            context = video_stream(container, path).codec_context
            return context.width > 0 and context.height > 0
    except UnreadableVideo:
        return False


def video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """The first video stream that is no cover picture.

    Raises:
        UnreadableVideo: there is none.
    """
    streams = container.streams.video
    if not streams:
        raise UnreadableVideo(f"{path}: the file has no video stream")
    for stream in streams:
        if not stream.disposition & Disposition.attached_pic:
            if stream.codec_context is None:
                raise UnreadableVideo(f"{path}: its video is of a codec that is not known")
            return stream
    raise UnreadableVideo(f"{path}: the file has no video stream, only sound and a cover picture")


def why(error: Exception) -> str:
    """An error of FFmpeg or the system in words, without the file's name."""
    return getattr(error, "strerror", None) or str(error)


def _opened(path: Path, demuxers: str) -> av.container.InputContainer:
    options = {"format_whitelist": demuxers, "protocol_whitelist": "file"}
    try:
        # Absolute: a name with a colon would be taken for another protocol.
        # Tags may be in any encoding, or in none.
        container = av.open(
            str(path.absolute()), container_options=options, metadata_errors="replace"
        )
    except (av.error.FFmpegError, OSError) as error:
        reason = why(error)
        if error.errno == errno.EINVAL:  # FFmpeg's answer to a kind that is not in the list
            reason = "its content is none of the kinds of video that are read"
        raise UnreadableVideo(f"{path}: not a readable video ({reason})") from error
    brand = container.metadata.get("major_brand", "").strip()
    if container.format.name.startswith("mov") and brand in _STILL_BRANDS:
        container.close()
        raise UnreadableVideo(f"{path}: a picture ({brand}), not a video; make it PNG or JPEG")
    return container
