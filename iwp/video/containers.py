"""What kind of file a video is, by its first bytes and never by its name."""

from __future__ import annotations

HEAD = 16  # bytes that tell

# Boxes that an MP4 or MOV file may start with.
_BOXES = frozenset((b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"))
# HEIC and AVIF pictures share that container.
_STILLS = frozenset(
    (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
)


def demuxer_of(head: bytes) -> str | None:
    """FFmpeg's name for the reader of a file that starts like this; None where it is no video.

    No other reader is ever tried: some, such as those of playlists, open further files.

    Args:
        head: the file's first `HEAD` bytes.
    """
    if head[4:8] in _BOXES:
        return None if head[4:12] in {b"ftyp" + brand for brand in _STILLS} else "mov"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "avi"
    return "gif" if head.startswith((b"GIF87a", b"GIF89a")) else None
