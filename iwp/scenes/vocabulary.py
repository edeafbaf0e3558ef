"""The words of the scenes. Knows nothing about pixels or models."""

from __future__ import annotations

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (215, 30, 35),
    "green": (30, 150, 50),
    "blue": (35, 70, 215),
    "yellow": (240, 215, 30),
    "purple": (130, 40, 160),
    "orange": (245, 130, 20),
    "white": (248, 248, 248),
    "black": (15, 15, 15),
}
SHAPES = ("circle", "square", "triangle", "star", "diamond", "cross", "heart", "sign")
PLURALS = {
    "circle": "circles",
    "square": "squares",
    "triangle": "triangles",
    "star": "stars",
    "diamond": "diamonds",
    "cross": "crosses",
    "heart": "hearts",
    "sign": "signs",
}
CHARACTERS = tuple("0123456789bcehkmrtxz")
NUMBERS = tuple(str(i) for i in range(10))
ROWS = ("top", "bottom")
COLUMNS = ("left", "right")

# Several wordings of each kind of question; one is drawn at random.
TEMPLATES: dict[str, tuple[str, ...]] = {
    "color": ("what color is the {shape} ?", "which color does the {shape} have ?"),
    "shape": ("what shape is {color} ?", "what is the {color} shape ?"),
    "exist": ("is there a {thing} ?", "do you see a {thing} ?"),
    "where": ("where is the {thing} ?", "in which corner is the {thing} ?"),
    "total": ("how many objects are there ?", "how many objects do you see ?"),
    "count": ("how many {things} are there ?", "how many {things} do you see ?"),
    "read": ("what is written on the {thing} ?", "what does the {thing} say ?"),
    "code": ("what is written on the {thing} ?", "what does the {thing} say ?"),
    "which": ("which object says {text} ?", "what object has {text} on it ?"),
    "relation": ("is the {thing} {relation} the {other} ?",),
    "moves": ("which {what} moves ?", "what {what} moves ?"),
    "last": ("which {what} appears last ?", "what {what} appears last ?"),
    "way": ("which way does the {thing} move ?", "which way does the {thing} go ?"),
    "moving": ("how many objects move ?", "how many objects go ?"),
}
RELATIONS = ("left of", "right of", "above", "below")
WAYS = ("up", "down", *COLUMNS)
COARSE = ("color", "shape", "exist", "where", "total", "count", "relation")
FINE = ("read", "code", "which")
MOVING = ("moves", "last", "way", "moving")  # asked about clips


def words() -> list[str]:
    """Every word that a question or an answer can contain, sorted."""
    found = {"yes", "no", "object", "objects", "hello", "please", "picture", "image", ".", "!"}
    found |= {"first", "video", "clip", "leaves"}
    for templates in TEMPLATES.values():
        for template in templates:
            found |= {w for w in template.split() if "{" not in w}
    for relation in RELATIONS:
        found |= set(relation.split())
    groups = (COLORS, SHAPES, PLURALS.values(), CHARACTERS, NUMBERS, ROWS, WAYS)
    return sorted(found.union(*groups))
