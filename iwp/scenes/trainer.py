"""The training of the embedded model, step by step: model, optimisers, checkpoints, export."""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoTokenizer, LlavaOnevisionForConditionalGeneration

from iwp.scenes.batches import SMALLEST, START, Batch, Batches
from iwp.scenes.clip_words import ClipWords
from iwp.scenes.crops import ATTRIBUTES
from iwp.scenes.network import make_config, make_model, make_processor, make_tokenizer
from iwp.scenes.optimizers import optimizers, set_rate
from iwp.scenes.packed import PackedModel
from iwp.scenes.patch_words import PatchWords
from iwp.scenes.vocabulary import CHARACTERS, COLORS, COLUMNS, ROWS, SHAPES

BLIND_LAYERS = 4
_WORDS = (SHAPES, tuple(COLORS), CHARACTERS, ROWS, COLUMNS, ("object",))


class Trainer:
    """Model, optimisers and counters of one training; `save` and `load` make it resumable."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.device = args, torch.device(args.device)
        self.tokenizer = make_tokenizer()
        self.model = make_model(make_config(self.tokenizer), args.seed).to(self.device)
        ids = [self.tokenizer.convert_tokens_to_ids(list(w)) for w in _WORDS]
        width = self.model.config.text_config.hidden_size
        self.words = PatchWords(width, ids).to(self.device)
        self.clip_words = ClipWords(width).to(self.device)
        self.packed = PackedModel(
            self.model, torch.bfloat16 if args.dtype == "bfloat16" else torch.float32
        )
        self.batches = Batches(self.tokenizer, args.seed, args.tokens, args.segments)
        start = self.tokenizer(START, add_special_tokens=False)["input_ids"]
        self.start = torch.tensor(start, device=self.device)
        self.phase, self.step = "tower", 0
        self.optimizers = optimizers(
            self.model, self.words, args.tower_muon, args.adam, tower_only=True
        )

    def begin_questions(self) -> None:
        """From the tower alone to the whole model."""
        self.phase, self.step = "questions", 0
        lessons = torch.nn.ModuleList((self.words, self.clip_words))
        self.optimizers = optimizers(
            self.model, lessons, self.args.muon, self.args.adam, tower_only=False
        )

    def save(self, path: Path) -> None:
        """Write everything that training needs to go on."""
        state = {
            "phase": self.phase,
            "step": self.step,
            "model": self.model.state_dict(),
            "words": self.words.state_dict(),
            "clip_words": self.clip_words.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
        }
        temporary = path.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, path)  # a crash while writing loses nothing

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote."""
        state = torch.load(path, map_location=self.device)
        if state["phase"] == "questions":
            self.begin_questions()
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.words.load_state_dict(state["words"])
        self.clip_words.load_state_dict(state["clip_words"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            rates = [(group["base"], group["share"]) for group in optimizer.param_groups]
            optimizer.load_state_dict(saved)
            for group, (base, share) in zip(optimizer.param_groups, rates, strict=True):
                group.update(base=base, share=share)  # this run's rates, not the saved ones

    def start_from(self, folder: Path) -> None:
        """Begin the questions with an exported model, which may know fewer words."""
        trained = LlavaOnevisionForConditionalGeneration.from_pretrained(folder)
        known = AutoTokenizer.from_pretrained(folder).get_vocab()
        rows = trained.get_input_embeddings().weight.data
        state, words = trained.state_dict(), self.tokenizer.get_vocab()
        shared = [word for word in words if word in known]
        embeddings = self.packed.embeddings().data.clone()
        embeddings[[words[w] for w in shared]] = rows[[known[w] for w in shared]].float()
        state = {k: embeddings if v.shape == rows.shape else v for k, v in state.items()}
        self.begin_questions()
        self.model.load_state_dict(state)

    def _tensors(self, *arrays: Any) -> list[Tensor]:
        return [torch.from_numpy(a).to(self.device) for a in arrays]

    def _update(self, loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1

    def tower_step(self) -> dict[str, float]:
        """One update of tower and projector; loss and accuracy by attribute."""
        set_rate(self.optimizers, self.step, self.args.tower_steps, 0.15)
        crops, labels = self._tensors(*self.batches.pictures(self.step, self.args.crops))
        loss, accuracy = self.words(self.packed.vision(crops), self.packed.embeddings(), labels)
        self._update(loss)
        return {"loss": loss.item(), **dict(zip(ATTRIBUTES, accuracy, strict=True))}

    def _batch(self) -> Batch:
        """This step's pictures or clips."""
        rng = np.random.default_rng([self.args.seed, 5, self.step])
        if rng.random() < self.args.clips:
            return self.batches.clips(self.step, self.args.drills)
        easy = self.step < self.args.easy_steps
        return self.batches.questions(self.step, self.args.easy if easy else 0.0, self.args.drills)

    def question_step(self) -> dict[str, float]:
        """One update of everything; losses and exact (teacher-forced) answers by kind."""
        set_rate(self.optimizers, self.step, self.args.steps, self.args.decay)
        batch = self._batch()
        crops, labels, tokens, answers = self._tensors(
            batch.crops, batch.labels, batch.tokens, batch.answers
        )
        unseen = self.args.tower_steps + self.step
        more, more_labels = self._tensors(*self.batches.pictures(unseen, self.args.more_crops))
        embeddings = self.packed.embeddings()
        n = len(batch.kinds)
        if batch.frames:
            with torch.no_grad():  # frames teach the decoder alone: a step takes half as long
                seen = self.packed.vision(crops)
            seen = self.packed.pack_clip(seen, n)
            patch_loss, accuracy = self.words(self.packed.vision(more), embeddings, more_labels)
        else:
            twins = 2 if batch.size == SMALLEST else 1  # base and only crop are the same picture
            crops, labels = crops[::twins], labels[::twins]
            features = self.packed.vision(torch.cat((crops, more)))
            labels = torch.cat((labels, more_labels))
            patch_loss, accuracy = self.words(features, embeddings, labels)
            features = features[: len(crops)].repeat_interleave(twins, 0)
            seen = self.packed.pack(features, batch.size, n)
        start = embeddings[self.start].to(seen.dtype).expand(n, -1, -1)
        prefix = torch.cat((start, seen), 1)
        visual = torch.arange(prefix.shape[1], device=self.device) >= len(self.start)
        rng = np.random.default_rng([self.args.seed, 3, self.step])
        blind = rng.random(tokens.shape[1]) < self.args.blind
        hidden, early = self.packed.decode(
            prefix, tokens, visual, BLIND_LAYERS, *self._tensors(blind)
        )
        noticed: list[float] = []
        if batch.frames:
            cells = early[:, len(self.start) : -1].flatten(0, 1)  # the last one ends the clip
            clip_loss, noticed = self.clip_words(cells, labels.transpose(0, 1).flatten(1))
            patch_loss = patch_loss + clip_loss
        say = answers[:, :, 1:]
        logits = hidden[:, :, :-1][say].float() @ embeddings.T
        target = tokens[:, :, 1:][say]
        loss = F.cross_entropy(logits, target)
        self._update(loss + self.args.patch_weight * patch_loss)
        right = torch.ones_like(say)
        right[say] = logits.argmax(-1) == target
        exact = right.all(-1).cpu().numpy()
        share = ((right & say).sum(-1) / say.sum(-1).clamp(min=1)).cpu().numpy()
        out: dict[str, list[float]] = defaultdict(list)
        for i, kinds in enumerate(batch.kinds):
            for j, kind in enumerate(kinds):
                kind = f"clip-{kind}" if batch.frames else kind
                if "drill" in kind:
                    out[kind].append(share[i, j])
                    continue
                out[kind].append(exact[i, j])
                out["blind" if blind[j] else "seeing"].append(exact[i, j])
        means = {k: float(np.mean(v)) for k, v in sorted(out.items())}
        means.update(zip(("motion", "arrival"), noticed, strict=False))
        return {"loss": loss.item(), "patch": patch_loss.item(), "glyph": accuracy[2], **means}

    def export(self, folder: Path) -> None:
        """Write the model and its processor as transformers files, bf16, shards under 9 MB."""
        state = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.model.generation_config.eos_token_id = self.tokenizer.eos_token_id
        self.model.generation_config.pad_token_id = self.tokenizer.pad_token_id
        self.model.to(torch.bfloat16).save_pretrained(folder, max_shard_size="8MB")
        make_processor(self.tokenizer).save_pretrained(folder)
        self.model.float().load_state_dict(state)
