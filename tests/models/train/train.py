# Trains the demo model: a small llama (GQA, SwiGLU, RoPE on neighbours, tied embeddings) on rows made by prepare.ts, on one thread.
#   OMP_NUM_THREADS=1 nice -n 19 /usr/bin/python3 tests/models/train/train.py --data <folder> --steps 7600
# Debian: apt-get install -y --no-install-recommends python3-torch python3-numpy libopenblas0-pthread
# Writes <folder>/weights.f32 and <folder>/weights.json (for export.ts) and <folder>/checkpoint.pt (to go on from, with --resume).
import argparse
import json
import math
import os
import time

import numpy
import torch
import torch.nn.functional as F

SHAPE = dict(vocabulary=1024, width=128, layers=4, heads=4, kv_heads=2, head_size=32, feed_forward=320, rope_base=500000.0, norm_epsilon=1e-5)
BATCH_TOKENS = 2048
ROW_TOKENS_MAX = 1600
PROMPT_WEIGHT = 0.08  # what the user says is worth a little: it teaches words
FIRST_WEIGHT = 6      # the first token of an answer decides what it is about; the others mostly follow from it
MUON_RATE = 0.01      # Muon as Keller Jordan describes it (github.com/KellerJordan/Muon)
ADAM_RATE = 2e-3
DECAY_FROM = 0.5      # constant rate, then linear to zero


def make_weights(generator):
    def normal(*shape, deviation):
        return (torch.randn(*shape, generator=generator) * deviation).requires_grad_()

    s = SHAPE
    width, q, kv, ff = s["width"], s["heads"] * s["head_size"], s["kv_heads"] * s["head_size"], s["feed_forward"]
    weights = {"token_embd": normal(s["vocabulary"], width, deviation=0.05), "output_norm": torch.ones(width, requires_grad=True)}
    for layer in range(s["layers"]):
        shapes = {"attn_q": (q, width), "attn_k": (kv, width), "attn_v": (kv, width), "attn_output": (width, q), "ffn_gate": (ff, width), "ffn_up": (ff, width), "ffn_down": (width, ff)}
        for name, (rows, columns) in shapes.items():
            into_stream = name in ("attn_output", "ffn_down")
            weights[f"blk.{layer}.{name}"] = normal(rows, columns, deviation=columns**-0.5 * (0.1 if into_stream else 1))
        for name in ("attn_norm", "ffn_norm"):
            weights[f"blk.{layer}.{name}"] = torch.ones(width, requires_grad=True)
    return weights


def lay_copying(weights, generator):
    # An induction head by hand, which training takes very long to find by itself: layer 0 tells each token which one came before,
    # layer 1 looks for the place whose predecessor is the present token and copies what stands there. Training refines it.
    size, width = SHAPE["head_size"], SHAPE["width"]
    spread, constant, reach, match, told, copied = 0.05, 3.0, 6.3, 3.0, 0.1, 0.1

    def frame():
        rows = torch.linalg.qr(torch.randn(width, size, generator=generator))[0].T.clone()
        rows[:, 0] = 0
        return rows

    own, before, kept = frame(), frame(), frame()
    slow = slice(size // 2, size)  # pairs that hardly turn over a thousand positions
    with torch.no_grad():
        weights["token_embd"][:, 0] = spread * constant
        q, k = weights["blk.0.attn_q"], weights["blk.0.attn_k"]
        q[:size], k[:size] = 0, 0
        for pair in range(3):  # fast pairs, turned by one position: the score is highest for the token before
            angle = SHAPE["rope_base"] ** (-2 * pair / size)
            q[2 * pair, 0], q[2 * pair + 1, 0] = reach * math.cos(angle) / constant, -reach * math.sin(angle) / constant
            k[2 * pair, 0] = reach / constant
        weights["blk.0.attn_v"][:size] = own
        weights["blk.0.attn_output"][:, :size] = told * before.T
        q, k = weights["blk.1.attn_q"], weights["blk.1.attn_k"]
        q[:size], k[:size] = 0, 0
        q[slow], k[slow] = match * own[slow], match * before[slow]
        weights["blk.1.attn_v"][:size] = kept
        weights["blk.1.attn_output"][:, :size] = copied * kept.T


def rms_norm(x, gain):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + SHAPE["norm_epsilon"]) * gain


def rotations(length):
    size = SHAPE["head_size"]
    angles = torch.arange(length)[:, None] * SHAPE["rope_base"] ** (-torch.arange(0, size, 2) / size)
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    # llama architecture in GGUF: the pairs are neighbours (2i, 2i+1)
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


COS, SIN = rotations(ROW_TOKENS_MAX)


def attention(x, weights, block, mask):
    rows, length, _ = x.shape
    heads = lambda name, count: (x @ weights[f"{block}.{name}"].T).view(rows, length, count, SHAPE["head_size"]).transpose(1, 2)
    cos, sin = COS[:length], SIN[:length]
    groups = SHAPE["heads"] // SHAPE["kv_heads"]
    q = rotate(heads("attn_q", SHAPE["heads"]), cos, sin)
    k = rotate(heads("attn_k", SHAPE["kv_heads"]), cos, sin).repeat_interleave(groups, 1)
    v = heads("attn_v", SHAPE["kv_heads"]).repeat_interleave(groups, 1)
    scores = q @ k.transpose(-1, -2) * SHAPE["head_size"] ** -0.5 + mask[:length, :length]
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(-2) @ weights[f"{block}.attn_output"].T


MASK = torch.full((ROW_TOKENS_MAX, ROW_TOKENS_MAX), float("-inf")).triu(1)


def hidden(tokens, weights):
    x = F.embedding(tokens, weights["token_embd"])
    for layer in range(SHAPE["layers"]):
        block = f"blk.{layer}"
        x = x + attention(rms_norm(x, weights[f"{block}.attn_norm"]), weights, block, MASK)
        y = rms_norm(x, weights[f"{block}.ffn_norm"])
        x = x + (F.silu(y @ weights[f"{block}.ffn_gate"].T) * (y @ weights[f"{block}.ffn_up"].T)) @ weights[f"{block}.ffn_down"].T
    return rms_norm(x, weights["output_norm"])


def orthogonal(update):
    # Newton-Schulz iteration of Muon, quintic, five steps
    a, b, c = 3.4445, -4.7750, 2.0315
    x = update / (update.norm() + 1e-7)
    flipped = x.shape[0] > x.shape[1]
    x = x.T if flipped else x
    for _ in range(5):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if flipped else x


def muon_step(matrices, momenta, rate):
    for weight, momentum in zip(matrices, momenta):
        momentum.mul_(0.95).add_(weight.grad)
        update = orthogonal(weight.grad + 0.95 * momentum)
        weight.data.mul_(1 - rate * 0.01).add_(update, alpha=-rate * max(1, weight.shape[0] / weight.shape[1]) ** 0.5)
        weight.grad = None


class Rows:
    """One dialogue per row from position 0; rows of like length share a batch, batches come in random order, each row once; the first lessons stay first."""

    def __init__(self, folder, seed):
        self.tokens = numpy.fromfile(f"{folder}/tokens.u16", dtype=numpy.uint16)
        self.answers = numpy.fromfile(f"{folder}/answers.u8", dtype=numpy.uint8)
        written = json.load(open(f"{folder}/lengths.json"))
        self.first, self.lengths = written["first"], numpy.array(written["lengths"])
        self.starts = numpy.concatenate(([0], numpy.cumsum(self.lengths)[:-1]))
        self.batches = self.plan(numpy.random.default_rng(seed))

    def plan(self, chance):
        batches, pool_rows = [], 4000
        order = numpy.concatenate((chance.permutation(self.first), self.first + chance.permutation(len(self.lengths) - self.first)))
        for pool in (order[i : i + pool_rows] for i in range(0, len(order), pool_rows)):
            made, batch = [], []
            for row in sorted(pool, key=lambda row: (self.lengths[row], row)):
                if batch and (len(batch) + 1) * self.lengths[row] > BATCH_TOKENS:
                    made.append(batch)
                    batch = []
                batch.append(row)
            made.append(batch)
            batches += [made[i] for i in chance.permutation(len(made))]
        return batches

    def batch(self, number):
        rows = self.batches[number % len(self.batches)]
        length = max(self.lengths[row] for row in rows)
        tokens = numpy.zeros((len(rows), length), dtype=numpy.int64)
        weights = numpy.zeros((len(rows), length), dtype=numpy.float32)
        for place, row in enumerate(rows):
            start, count = self.starts[row], self.lengths[row]
            tokens[place, :count] = self.tokens[start : start + count]
            answers = self.answers[start : start + count]
            weights[place, :count] = numpy.where(answers == 1, 1.0, PROMPT_WEIGHT)
            weights[place, 1:count][(answers[1:] == 1) & (answers[:-1] == 0)] = FIRST_WEIGHT
        return torch.from_numpy(tokens), torch.from_numpy(weights)


def loss_of(tokens, importance, weights):
    logits = hidden(tokens[:, :-1], weights).flatten(0, 1) @ weights["token_embd"].T
    targets, importance = tokens[:, 1:].flatten(), importance[:, 1:].flatten()
    losses = F.cross_entropy(logits, targets, reduction="none")
    answers = importance >= 1
    right = (logits.detach()[answers].argmax(-1) == targets[answers]).float().mean().item()
    return (losses * importance).sum() / importance.sum(), losses.detach()[answers].mean().item(), right


def save(folder, weights, momenta, adam, step):
    torch.save({"weights": weights, "momenta": momenta, "adam": adam.state_dict(), "step": step}, f"{folder}/checkpoint.tmp")
    os.replace(f"{folder}/checkpoint.tmp", f"{folder}/checkpoint.pt")
    with open(f"{folder}/weights.f32", "wb") as file:
        for weight in weights.values():
            file.write(weight.detach().numpy().astype(numpy.float32).tobytes())
    tensors = [{"name": f"{name}.weight", "rows_columns": list(weight.shape)} for name, weight in weights.items()]
    json.dump({"shape": SHAPE, "step": step, "tensors": tensors}, open(f"{folder}/weights.json", "w"))


def rate_at(step, steps):
    warm = min(1.0, (step + 1) / 40)
    return warm * min(1.0, (1 - step / steps) / (1 - DECAY_FROM))


def train(arguments):
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(arguments.seed)
    weights = make_weights(generator)
    lay_copying(weights, generator)
    matrices = [weight for name, weight in weights.items() if weight.dim() == 2 and name != "token_embd"]
    others = [weight for name, weight in weights.items() if weight.dim() == 1 or name == "token_embd"]
    momenta = [torch.zeros_like(weight) for weight in matrices]
    adam = torch.optim.AdamW(others, lr=ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.0)
    first = 0
    if arguments.resume:
        saved = torch.load(f"{arguments.data}/checkpoint.pt")
        for name, weight in weights.items():
            weight.data.copy_(saved["weights"][name].data)
        for momentum, kept in zip(momenta, saved["momenta"]):
            momentum.copy_(kept)
        adam.load_state_dict(saved["adam"])
        first = saved["step"]
    rows = Rows(arguments.data, arguments.seed)
    print(f"{sum(weight.numel() for weight in weights.values())} weights, {len(rows.batches)} batches", flush=True)
    began, seen, loss_sum, right_sum = time.time(), 0, 0.0, 0.0
    for step in range(first, arguments.steps):
        rate = rate_at(step, arguments.steps)
        tokens, importance = rows.batch(step)
        loss, answer_loss, right = loss_of(tokens, importance, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        muon_step(matrices, momenta, MUON_RATE * rate)
        adam.param_groups[0]["lr"] = ADAM_RATE * rate
        adam.step()
        adam.zero_grad()
        seen += tokens.numel()
        loss_sum, right_sum = loss_sum + answer_loss, right_sum + right
        if (step + 1) % 20 == 0:
            print(f"step {step + 1} {time.time() - began:.0f} s {seen} tokens: loss on answers {loss_sum / 20:.3f}, tokens right {right_sum / 20:.3f}", flush=True)
            loss_sum = right_sum = 0.0
        if (step + 1) % 100 == 0 or step + 1 == arguments.steps:
            save(arguments.data, weights, momenta, adam, step + 1)


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--data", required=True)
    options.add_argument("--steps", type=int, default=7600)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--resume", action="store_true")
    train(options.parse_args())
