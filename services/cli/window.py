"""A window that shows pictures, where there is a display: Tk, as it comes with Python.

In: BGR pictures. Out: `closed` says whether somebody closed it, or pressed q or Escape. All calls in the main thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

Image = NDArray[np.uint8]
_SHARE = 0.9
"""Of the screen that the window takes at most."""


class NoDisplay(Exception):
    """There is no window here. Says why, and what to do."""


class Window:
    """Raises NoDisplay."""

    def __init__(self, title: str) -> None:
        try:
            import tkinter as tk

            from PIL import ImageTk
        except ImportError as error:
            raise NoDisplay(f"this Python has no Tk ({error}): install python3-tk") from error
        try:
            self._root: Any = tk.Tk()
        except tk.TclError as error:
            raise NoDisplay(f"there is no display ({error}): connect one, or write --annotate instead") from error
        self._image_tk, self._tcl_error = ImageTk, tk.TclError
        self.closed = False
        self._root.title(title)
        self._root.configure(background="black")
        self._label = tk.Label(self._root, borderwidth=0, background="black")
        self._label.pack(fill="both", expand=True)
        self._size: tuple[int, int] | None = None
        for event in ("<q>", "<Q>", "<Escape>"):
            self._root.bind(event, lambda _: self._close())
        self._root.protocol("WM_DELETE_WINDOW", self._close)

    def show(self, image: Image) -> None:
        if self.closed:
            return
        try:
            picture = Pillow.fromarray(np.ascontiguousarray(image[:, :, ::-1]))
            self._photo = self._image_tk.PhotoImage(self._fitted(picture), master=self._root)
            self._label.configure(image=self._photo)
            self._root.update()
        except self._tcl_error:  # the display has gone
            self.closed = True

    def wait(self, stopped: Callable[[], bool]) -> None:
        """Until somebody closes it, or stops us."""
        self._root.title("plateflow: done, press q")
        try:
            while not self.closed and not stopped():
                self._root.update()
                self._root.after(50)
        except self._tcl_error:
            self.closed = True

    def destroy(self) -> None:
        try:
            self._root.destroy()
        except self._tcl_error:
            return

    def _fitted(self, picture: Pillow.Image) -> Pillow.Image:
        """The window begins as large as the picture, or the screen; then the picture fills what one makes of it."""
        if self._size is None:
            screen = self._root.winfo_screenwidth() * _SHARE, self._root.winfo_screenheight() * _SHARE
            scale = min(1.0, screen[0] / picture.width, screen[1] / picture.height)
            self._size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
            self._root.geometry(f"{self._size[0]}x{self._size[1]}")
            self._root.update()
        room = max(1, self._root.winfo_width()), max(1, self._root.winfo_height())
        scale = min(room[0] / picture.width, room[1] / picture.height)
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        return picture if size == picture.size else picture.resize(size, Pillow.Resampling.BILINEAR)

    def _close(self) -> None:
        self.closed = True
