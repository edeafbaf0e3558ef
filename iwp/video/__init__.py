"""Video files: the frames that a model is shown of one, and overlays written as one."""

from __future__ import annotations

from iwp.video.opening import is_video, open_media, open_video

__all__ = ["is_video", "open_media", "open_video"]
