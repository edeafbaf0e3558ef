"""Every sentence of the page. Knows nothing about components or models."""

from __future__ import annotations

from typing import Final

TITLE: Final = "IWP: one question, answered twice"
LEAD: Final = (
    "The same vision-language model answers your question with every visual token, and again "
    "with only the tokens that IWP keeps. Move the budget to see which patches stay, or let two "
    "methods meet."
)

DEMO_MODEL: Final = (
    "The model on this page is a small demo model trained from scratch on drawn scenes. In "
    "pictures like the examples it names colours and shapes, says what is there and where, reads "
    "printed characters, counts a few objects and compares their places; of short clips it says "
    "what moves, which way, and what appears last. It cannot describe photographs or chat."
)
OTHER_MODEL: Final = (
    "Answers come from the model named above, unchanged; only the visual tokens differ between "
    "the two sides."
)

PICTURE: Final = "Picture"
VIDEO: Final = "Video"
VIDEO_HINT: Final = "MP4, MOV, WebM, MKV, AVI or GIF, up to 200 MB"
QUESTION: Final = "Question"
QUESTION_HINT: Final = "What do you want to know?"
COMPARE: Final = "Compare"
STOP: Final = "Stop"
EXAMPLES: Final = "Try one of these"
BASELINE: Final = "Every visual token"
KEPT_BY: Final = "Kept by {}"
SIDES: Final = "Choose the two sides"
LEFT: Final = "Left side"
RIGHT: Final = "Right side"
CONVENTION: Final = "The budget is"
AT_THE_CUT: Final = "kept at the cut"
AVERAGE: Final = "layer average"
SIDES_NOTE: Final = (
    "Changes count from the next Compare. Layer average: what a layer reads on average, the layers "
    "before the cut included, so that methods with cuts at different layers do equal work."
)
SETTINGS: Final = "Settings"
SETTINGS_NOTE: Final = (
    "The layer and IWP's options count for the right side, from the next Compare: a left IWP keeps "
    "the recommended ones, so that two settings can meet."
)
RECOMMENDED: Final = "recommended"
KNOBS: Final = {
    "layer": "Cut before layer",
    "max_new_tokens": "Longest answer, in tokens",
    "temperature": "Temperature, 0 is greedy",
    "magnitude": "Magnitude",
    "query": "Query",
    "duplication": "Duplication",
    "rope_magnitude": "Magnitude after rotary",
    "rope_duplication": "Duplication after rotary",
    "chunk": "First chunk",
    "growth": "Growth of chunks",
    "penalty": "Penalty",
    "floor": "Floor",
    "normalizer": "Normalizer",
    "bandwidth": "Bandwidth",
    "separators": "Row ends",
}
NO_LAYER: Final = "The layer to cut before is a whole number from 0 on, not {!r}."
NO_OPTION: Final = "IWP has no such option on this page: {}."
HAND: Final = "your hand"
NO_PICK: Final = "The picked patches do not belong to this picture. Pick them again."
PICK_LATER: Final = "Let a comparison finish first, then pick patches."
SWEEP_HAND: Final = "What a hand picked has no other budgets. Press Compare, then sweep."
ANSWER_HINT: Final = "The answer appears here."

MODEL: Final = "Model"
LOAD_MODEL: Final = "Load this model"
MODEL_NOTE: Final = (
    "One model answers everybody on this page: the one before is taken out of memory first, after "
    "the answers that are going on."
)
NO_SWITCH: Final = (
    "This host lends its GPU for one question at a time, so the model cannot be changed here."
)
SWITCHING: Final = {
    "waiting": "Waiting for another run to finish",
    "freeing": "Freeing the memory of {old}",
    "loading": "Loading {new}",
    "warming": "Warming up {new}",
    "returning": "{new} does not work out; loading {old} again",
}
SWITCHED: Final = "{} is loaded and warmed up. Press Compare to ask it."
NOT_SWITCHED: Final = "{} cannot be loaded; the server's log says why."
SAME_MODEL: Final = "{} answers already."
MODEL_CHANGED: Final = "The model has been changed meanwhile. Press Compare to ask the new one."
RECORDED: Final = "Recorded, not run just now: {}."
RECORDED_STATUS: Final = "A recorded result. Press Compare to run it, or move the budget."
STARTING: Final = "Starting"
STAGES: Final = {
    "waiting": "Waiting for another run to finish",
    "encoding": "Encoding what the model is shown",
    "ranking": "Ranking the visual tokens",
    "sweeping": "Reading the layers before the cut, once for all budgets",
}
EVERY_TOKEN: Final = "Answering with every visual token"
KEPT_TOKENS: Final = "Answering with what {} keeps"
DONE: Final = "Done. Move the budget to answer again."
STOPPED: Final = "Stopped."
DEADLINE: Final = "Stopped at the time limit."

FINISH: Final = {
    "stopped": "stopped by you",
    "deadline": "stopped at the time limit, press Compare to answer it again",
    "length": "reached the answer's length limit",
}
GREEDY: Final = "Greedy decoding"
DRAWN: Final = "Tokens drawn at temperature {:g}, with the same random numbers on both sides"
TIMING_NOTE: Final = (
    "{}, one run after the other on a warmed-up device. Picture or video is encoded once "
    "and the time counted on both sides; prefill includes the selection. Ratio: how many times "
    "less the right side needs."
)

FIDELITY_NOTE: Final = (
    "What pruning lost on the right: the implicit weight and the attention's output at the cut, "
    "and how far the first token's distribution moved (KL in nats)."
)

ANSWERS: Final = {
    True: "Same answer",
    False: "Different answers",
    None: "An answer was cut short: they are not compared",
}
ONLY_LEFT: Final = "only on the left"
ONLY_RIGHT: Final = "only on the right"
FASTER: Final = "{} faster"
SLOWER: Final = "{} slower"
AS_FAST: Final = "As fast"
FROM_TO: Final = "{} to {}"
SPEED_PARTS: Final = ("Encoding", "Prefill", "Decoding")
ENCODED_ONCE: Final = "{}, done once and counted on both sides"
TOKEN_COUNTS: Final = "{:,} and {:,} tokens"
FIRST_TOKEN: Final = "First token of the answer"
TOKEN: Final = "Token"

SWEEP: Final = "Answer at six budgets"
SWEEP_TITLE: Final = "{} at every budget"
SWEEP_TABLE: Final = "Answers at every budget"
SWEEP_STALE: Final = "The question, picture or video has changed. Press Compare, then sweep."
SWEEP_LATER: Final = "Let a comparison finish first: its picture and question are answered again."
SWEPT: Final = "Answered at {} of {} budgets"
SWEPT_ALL: Final = "Done. The plot and the table stand below."
PLOT_WORDS: Final = "words shared with the answer at 100 %"
PLOT_WEIGHT: Final = "dual weight kept"
PLOT_TIME: Final = "time to the first token, of that at 100 %"
PLOT_AXIS: Final = "Budget in percent"
PLOT_TOLD: Final = "Budget {}: {}. The table below has the numbers."

CAMERA: Final = "Live camera"
CAMERA_NOTE: Final = (
    "Every frame goes through the vision encoder and the layers before the cut, and what IWP drops "
    "goes dark. The question above decides with it. Frames are shown and forgotten."
)
CAMERA_HINT: Final = "Start the camera: its kept patches show here."
CAMERA_BUDGET: Final = "Share of the visual tokens to keep, in percent"
CAMERA_QUESTION: Final = "What is this?"
CAMERA_BUSY: Final = "Waiting: the device is answering another question."
CAMERA_SLOW: Final = "This model is too slow here for a camera."
CAMERA_RATE: Final = "{:,} of {:,} tokens kept, {:.0f} ms a frame"
CAMERA_ALT: Final = "Camera frame, dropped patches dark"

RANDOM: Final = "Random example"
SHARED: Final = {
    "link": "Link copied.",
    "pictureless": "Link copied. It cannot hold your picture: add that again.",
    "videoless": "Link copied. It cannot hold your video: add that again.",
    "snippet": "Python copied. Save the picture as picture.png beside it.",
    "video_snippet": "Python copied. Save the video as clip.mp4 beside it.",
    "report": "Report saved.",
    "refused": "The browser does not let this page copy.",
}
LINK_WRONG: Final = "The link says something that this page cannot use: {}. The rest is filled in."

NO_PICTURE: Final = "Add a picture or video first: drop it, paste it or choose a file."
PICTURE_TOO_LARGE: Final = "The picture is larger than {} MB; send a smaller copy."
CLIP_FRAMES: Final = "{} frames out of {:.1f} s, as the model is shown them"
CLIP_FRAME: Final = "One frame, as the model is shown it"
NO_QUESTION: Final = "Ask a question first."
NOT_UPLOADED: Final = (
    "Send the picture or video as an uploaded file, for example handle_file('picture.png')."
)
FORGOTTEN: Final = "This comparison is no longer kept here. Press Compare to answer again."
ERROR_TITLE: Final = "Cannot compare"
