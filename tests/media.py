"""Small media files, good and bad, made on the spot for the tests of what reads them."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np


def grey(i, size, noise):
    """Frame ``i``: a noisy grey of 10 + 8 i, so that its number can be read from its mean."""
    return (10 + 8 * i + np.roll(noise, 7 * i, axis=1)).clip(0, 255).astype(np.uint8)


def write_video(
    path,
    n=20,
    size=(96, 64),
    codec="libx264",
    pixels="yuv420p",
    options=None,
    stamps=None,
    frames=None,
    noise=3,
    cover=None,
):
    """A video of ``n`` frames (:func:`grey`, or those given); ``stamps`` are times in 1/100 s,
    ``noise`` the amplitude of its noise, ``cover`` a picture attached before the video."""
    noise = np.random.default_rng(0).integers(-noise, noise + 1, (size[1], size[0], 3))
    with av.open(str(path), "w") as container:
        if cover is not None:
            picture = container.add_stream("mjpeg", rate=1)
            picture.height, picture.width = cover.shape[:2]
            picture.pix_fmt = "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        if stamps is not None:
            stream.codec_context.time_base = Fraction(1, 100)
        if cover is not None:
            container.mux(picture.encode(av.VideoFrame.from_ndarray(cover, format="rgb24")))
            container.mux(picture.encode())
        for i in range(n):
            image = frames[i] if frames is not None else grey(i, size, noise)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if stamps is not None:
                frame.pts, frame.time_base = stamps[i], Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_sound(path, codec="aac", cover=None):
    """A second of silence; with ``cover`` (a JPEG's bytes) as its attached picture."""
    layout = {"aac": "fltp", "libmp3lame": "fltp"}[codec]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=16000)
        picture = None
        if cover is not None:
            picture = container.add_stream("mjpeg", rate=1)
            picture.width, picture.height = 32, 32
            picture.pix_fmt = "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 16000), np.float32), format=layout, layout="mono"
        )
        frame.sample_rate = 16000
        if picture is not None:
            image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            container.mux(picture.encode(image))
            container.mux(picture.encode())
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _remux(source, path, change=lambda packet: None, options=None):
    with av.open(str(source)) as old, av.open(str(path), "w", options=options or {}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:  # not the end
                change(packet)
                packet.stream = stream
                new.mux(packet)
    return path


def faststart(source, path):
    """The same MP4 file with its index before the frames."""
    return _remux(source, path, options={"movflags": "+faststart"})


def recut(source, path, first):
    """An MP4 file with the same frames, of which those before ``first`` are not to be shown."""
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        start = round(first / stream.average_rate / stream.time_base)

    def earlier(packet):
        packet.pts -= start
        packet.dts -= start

    return _remux(source, path, earlier)


def hide_frame(source, path, after):
    """A VP8 file with one more packet, which is decoded but not shown: packet ``after`` again."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(old.demux(video=0)):
            if packet.dts is None:
                continue
            again = bytearray(bytes(packet))
            again[0] &= ~0x10  # the bit of the frame's header that shows it
            hidden = av.Packet(bytes(again))
            hidden.pts = hidden.dts = packet.pts + 1
            hidden.time_base, hidden.stream = packet.time_base, stream
            packet.stream = stream
            new.mux(packet)
            if number == after:
                new.mux(hidden)
    return path


def rotate(path, degrees):
    """Write a rotation, or a matrix (a, b, c, d), into the display matrix of an MP4 file's first
    track."""
    turns = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
    a, b, c, d = (round(v * 65536) for v in turns.get(degrees, degrees))
    matrix = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    data = bytearray(path.read_bytes())
    box = data.index(b"tkhd")
    start = box + 4 + (40 if data[box + 4] == 0 else 52)  # after the fields of version 0 or 1
    data[start : start + 36] = matrix
    path.write_bytes(bytes(data))
    return path
