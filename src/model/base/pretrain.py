#!/usr/bin/env python3
"""Make the small base model from nothing but the documentation on a Rust developer's machine.

The result is a Hugging Face folder: a Llama-architecture causal language model of 3.2 million
parameters (6.4 MB as bfloat16) with its own 4096-entry byte-level BPE tokenizer.  The work is
a few stages, each its own command, to be run in this order:

    python pretrain.py fetch       # has cargo download the crates whose documentation is read
    python pretrain.py corpus      # documentation -> WORK/train.txt, WORK/heldout.txt, sources.tsv
    python pretrain.py tokenizer   # WORK/train.txt -> OUT/tokenizer.json, configs, untrained weights
    python pretrain.py train       # -> WORK/checkpoint.pt as it goes, OUT/model.safetensors at the end
    python pretrain.py evaluate    # bits per byte on held-out text beside xz -9, sample continuations

WORK is `--work` (default ./base-work) and OUT is `--out` (default ./base-model).

Sources
    * the books and the library source pages that rustup installs as `rust-docs`, found through
      `rustc --print sysroot` (or `--docs`);
    * README.md and doc comments of the crates named in CRATES, where cargo's registry cache has
      them (`--registry`, default $CARGO_HOME/registry/src).  Each crate's Cargo.toml must offer
      MIT or Apache-2.0; a crate that is absent is skipped with a warning.

Determinism
    Files are read in sorted order, every choice about a document (held out? chat form? which
    question?) is a hash of its name, and training draws from generators seeded with `--seed` and
    the epoch number.  The same inputs give the same corpus and tokenizer byte for byte; the
    weights agree up to the floating-point differences between machines.

Needs Python 3.10+, torch, safetensors, tokenizers, and the `xz` program for `evaluate`.
"""

import argparse
import hashlib
import html
import json
import math
import os
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

# --------------------------------------------------------------------------------------------
# What the model is
# --------------------------------------------------------------------------------------------

END_OF_TEXT = "<|endoftext|>"
IM_START = "<|im_start|>"
IM_END = "<|im_end|>"
SPECIAL_TOKENS = [END_OF_TEXT, IM_START, IM_END]  # ids 0, 1, 2

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 4096,
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "head_dim": 32,
    "hidden_act": "silu",
    "max_position_embeddings": 1024,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "mlp_bias": False,
    "initializer_range": 0.02,
    "tie_word_embeddings": True,
    "use_cache": True,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
    "torch_dtype": "bfloat16",
}

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

# --------------------------------------------------------------------------------------------
# Where the text comes from
# --------------------------------------------------------------------------------------------

# The Embedded Rust Book ships beside these, but its own licence notice puts the prose under
# CC-BY-SA-4.0, so it stays out.
BOOKS = [
    "book",
    "reference",
    "nomicon",
    "cargo",
    "rust-by-example",
    "rustc",
    "rustdoc",
    "clippy",
    "edition-guide",
    "style-guide",
    "error_codes",
    "unstable-book",
]

# Redirect stubs of old editions, translations, and whole-book pages that repeat every chapter.
SKIPPED_BOOK_PAGES = re.compile(
    r"(^|/)(print|toc|404|SUMMARY)\.html$"
    r"|^book/(first|second|2018)-edition/"
    r"|^rust-by-example/(es|ja|ko|zh)/"
)

LIBRARIES = ["std", "alloc", "core", "proc_macro", "test"]

# Vendor intrinsics repeat one sentence thousands of times; Unicode tables are not prose.
SKIPPED_LIBRARY_PAGES = re.compile(r"/(stdarch|portable-simd|unicode|tests|benches)/|unicode_data")

# Crates whose README and doc comments are read, at exactly these versions so that the corpus
# can be made again.  All of them offer MIT or Apache-2.0.
CRATES = """
aho-corasick-1.1.5 bytemuck-1.25.2 byteorder-1.5.0 candle-core-0.11.1
candle-transformers-0.11.1 cc-1.11.1 clap-4.6.7 clap_builder-4.6.7 compact_str-0.9.1
criterion-0.8.2 crossbeam-epoch-0.9.21 crossbeam-utils-0.8.23 crossterm-0.29.0 daachorse-3.0.3
half-2.7.1 hashbrown-0.17.1 indexmap-2.14.2 insta-1.49.0 itertools-0.14.0 jiff-0.2.43
lock_api-0.4.14 memchr-2.8.3 memmap2-0.9.12 minijinja-3.0.5 mio-1.2.4 nix-0.31.3 nom-7.1.3
num-traits-0.2.19 palette-0.7.7 portable-atomic-1.15.0 proptest-1.12.0 pulp-0.22.3 rand-0.10.3
rand_distr-0.5.1 ratatui-0.30.2 ratatui-core-0.1.2 ratatui-widgets-0.3.2 rayon-1.12.0
rayon-core-1.13.0 regex-1.13.1 regex-automata-0.4.18 regex-syntax-0.8.11 rustix-1.1.6
serde-1.0.229 serde_json-1.0.154 signal-hook-0.4.6 syn-3.0.9 tempfile-3.27.0 time-0.3.55
tokenizers-0.23.2 typed-path-0.13.0 winnow-1.0.5 zerocopy-0.8.63 zip-9.4.1
""".split()

HELD_OUT_SHARE = 0.035  # of documents, by hash of their name
CHAT_SHARE = 0.11  # of training documents, by another hash
CODE_SHARE = 0.25  # upper limit on the code in any one document, by bytes
MIN_DOCUMENT = 200  # bytes; less than this is a stub
MAX_ANSWER = 1500  # bytes of an assistant turn, so that it fits well inside the context


@dataclass
class Block:
    """One piece of a document: a heading, a paragraph, a list item or a code listing."""

    kind: str  # "heading", "paragraph", "item" or "code"
    text: str
    level: int = 0  # of a heading


@dataclass
class Document:
    name: str  # path-like and stable between machines: it decides the hashes
    blocks: list


def fraction(name, salt):
    """A number in [0, 1) that depends only on the two strings."""
    digest = hashlib.sha256(f"{salt}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


# --------------------------------------------------------------------------------------------
# Cleaning
# --------------------------------------------------------------------------------------------

TYPOGRAPHY = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"',
        "\u2013": "-", "\u2014": " - ", "\u2026": "...", "\u00a0": " ", "\u200b": "",
    }
)


def tidy(text):
    """One line, plain quotes and dashes (as people type them), no stray special tokens."""
    text = re.sub(r"\s+", " ", text.translate(TYPOGRAPHY)).strip()
    return text.replace("<|", "< |")


def tidy_code(text):
    lines = [line.rstrip() for line in text.expandtabs(4).split("\n")]
    return "\n".join(lines).strip("\n").replace("<|", "< |")


def is_prose(text, least=0.75):
    """Mostly letters and spaces, once `code spans` are set aside."""
    bare = re.sub(r"`[^`]*`", "", text)
    good = sum(c.isascii() and (c.isalpha() or c == " ") for c in bare)
    return len(bare) >= 12 and good >= least * len(bare)


def paragraph_key(text):
    """Equal for paragraphs that differ only in code spans, numbers or punctuation.

    The library documents each integer type in the same words; one of the twelve is enough.
    """
    text = re.sub(r"`[^`]*`", " ", text.lower())
    text = re.sub(r"[0-9]+", "0", text)
    return hashlib.sha256(re.sub(r"[^a-z0]+", " ", text).strip().encode()).digest()[:12]


def code_key(text):
    text = re.sub(r"[0-9]+", "0", text)
    return hashlib.sha256(re.sub(r"\s+|\bu0", "", text).encode()).digest()[:12]


# --------------------------------------------------------------------------------------------
# Reading the books (HTML made by mdBook)
# --------------------------------------------------------------------------------------------


class BookPage(HTMLParser):
    """Turns the <main> element of an mdBook page into blocks."""

    HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
    SKIPPED_TAGS = {"nav", "script", "style", "svg", "button", "sup", "template"}
    # Hidden lines of examples; rule labels, grammar boxes and diagrams of the Reference.
    SKIPPED_CLASSES = {"boring", "rule", "grammar-container", "grammar-railroad", "buttons"}

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.blocks = []
        self.text = []
        self.kind = "paragraph"
        self.level = 0
        self.in_pre = False
        self.skipping = None  # the tag that opened the part being skipped
        self.skip_depth = 0  # how many elements of that tag are open in it

    def flush(self):
        text = "".join(self.text)
        self.text = []
        text = tidy_code(text) if self.kind == "code" else tidy(text)
        if text:
            self.blocks.append(Block(self.kind, text, self.level))
            self.kind = "paragraph"

    def start(self, kind, level=0):
        self.flush()
        self.kind, self.level = kind, level

    def handle_starttag(self, tag, attributes):
        if self.skipping:
            self.skip_depth += tag == self.skipping
            return
        classes = set((dict(attributes).get("class") or "").split())
        if tag in self.SKIPPED_TAGS or classes & self.SKIPPED_CLASSES:
            self.skipping, self.skip_depth = tag, 1
        elif tag in self.HEADINGS:
            self.start("heading", self.HEADINGS[tag])
        elif tag in ("li", "tr", "dt", "dd"):
            self.start("item")
        elif tag == "pre":
            self.start("code")
            self.in_pre = True
        elif tag == "br":
            self.text.append("\n")
        elif tag == "code" and not self.in_pre:
            self.text.append("`")
        elif tag in ("p", "div", "blockquote", "ul", "ol", "table", "figcaption"):
            self.flush()  # an item keeps its kind until its first text arrives

    def handle_endtag(self, tag):
        if self.skipping:
            self.skip_depth -= tag == self.skipping
            if self.skip_depth == 0:
                self.skipping = None
        elif tag == "pre":
            self.flush()
            self.in_pre, self.kind = False, "paragraph"
        elif tag == "code" and not self.in_pre:
            self.text.append("`")
        elif tag in ("td", "th"):
            self.text.append(" | ")
        elif tag in self.HEADINGS or tag in ("p", "li", "tr", "div", "dt", "dd", "figcaption"):
            self.flush()
            self.kind = "paragraph"

    def handle_data(self, data):
        if not self.skipping:
            self.text.append(data)


def read_book_page(path):
    text = path.read_text(encoding="utf-8", errors="replace")
    main = re.search(r"<main>(.*?)</main>", text, re.S)
    if not main:
        return []
    page = BookPage()
    page.feed(main.group(1))
    page.flush()
    for block in page.blocks:
        if block.kind == "item":
            block.text = block.text.strip("| ")
    return page.blocks


def book_documents(docs):
    for book in BOOKS:
        for path in sorted((docs / book).rglob("*.html")):
            name = path.relative_to(docs).as_posix()
            if not SKIPPED_BOOK_PAGES.search(name):
                yield Document(name, read_book_page(path))


# --------------------------------------------------------------------------------------------
# Reading Markdown (doc comments, READMEs, release notes)
# --------------------------------------------------------------------------------------------


def plain_inline(text):
    """Markdown's inline marks away, except backticks; links become their text."""
    text = re.sub(r"!\[[^\[\]]*\]\([^()]*\)", "", text)
    text = re.sub(r"\[([^\[\]]*)\]\([^()]*\)", r"\1", text)
    text = re.sub(r"\[([^\[\]]+)\]\[[^\[\]]*\]", r"\1", text)
    text = re.sub(r"\[ *(`[^`]+`) *\]", r"\1", text)
    parts = re.split(r"(`[^`]*`)", text)
    for i in range(0, len(parts), 2):  # the parts outside code spans
        part = re.sub(r"\[\^[^\]]*\]", "", parts[i])
        part = re.sub(r"\[([A-Za-z][^\[\]]*)\]", r"\1", part)
        part = re.sub(r"<(https?:[^>]*)>", r"\1", part)
        part = re.sub(r"</?[A-Za-z][^>]*>", "", part)
        part = re.sub(r"\*{1,3}([^*\s][^*]*)\*{1,3}", r"\1", part)
        parts[i] = re.sub(r"(?<!\w)_{1,2}([^_\s][^_]*)_{1,2}(?!\w)", r"\1", part)
    return tidy(html.unescape("".join(parts)))


def read_markdown(text):
    """Blocks of a Markdown text; hard-wrapped paragraphs become one line."""
    blocks, lines, kind = [], [], "paragraph"

    def flush():
        nonlocal lines, kind
        joined = plain_inline(" ".join(lines))
        if joined:
            blocks.append(Block(kind, joined))
        lines, kind = [], "paragraph"

    source = iter(text.split("\n"))
    for line in source:
        bare = line.strip()
        fence = re.match(r"(```+|~~~+)", bare)
        if fence:
            flush()
            code = []
            for line in source:
                if line.strip().startswith(fence.group(1)):
                    break
                if not re.match(r"\s*#( |$)", line):  # hidden line of a documentation test
                    code.append(line)
            blocks.append(Block("code", tidy_code("\n".join(code))))
        elif not bare:
            flush()
        elif re.match(r"#{1,6} ", bare):
            flush()
            marks, title = bare.split(" ", 1)
            blocks.append(Block("heading", plain_inline(title.strip("# ")), len(marks)))
        elif re.fullmatch(r"(=+|-+)", bare) and len(lines) == 1:  # underlined heading
            title, lines = lines[0], []
            blocks.append(Block("heading", plain_inline(title), 1 if bare[0] == "=" else 2))
        elif re.match(r"([-*+]|\d+[.)]) ", bare):
            flush()
            kind, lines = "item", [bare.split(" ", 1)[1]]
        elif re.match(r"\[[^\]]+\]:|\[!\[|\|?[-:| ]{3,}$|<!--|% ", bare):
            flush()  # link definitions, badges, table rules, HTML comments, pandoc titles
        elif bare.startswith("|"):
            flush()
            blocks.append(Block("item", plain_inline(bare.strip("| "))))
        else:
            lines.append(bare.lstrip("> "))
    flush()
    return blocks


def release_documents(docs):
    """The release notes: one document for each version."""
    path = docs / "releases.md"
    if path.exists():
        text = path.read_text(encoding="utf-8")
        for part in re.split(r"(?m)^(?=Version \S+ \()", text)[1:]:
            version = part.split()[1]
            yield Document(f"releases/{version}", read_markdown(part))


# --------------------------------------------------------------------------------------------
# Reading Rust source (comments only)
# --------------------------------------------------------------------------------------------

ITEM = re.compile(
    r"\s*(?:pub(?:\([^)]*\))? |default |unsafe |async |const |extern \"[^\"]*\" )*"
    r"(?:fn|struct|enum|trait|union|mod|type|macro|macro_rules!|static|const) +(\w+)"
)
COMMENT = re.compile(r"\s*(///|//!|//)(?!/)(.*)")


def item_name(lines, start):
    """The name of the item that a doc comment ending before line `start` is about."""
    for line in lines[start : start + 8]:
        found = ITEM.match(line)
        if found:
            return found.group(1)
        if not re.match(r"\s*(#\[|[a-z_]+\(|[a-z_]+ = |\)\]|//|$)", line):  # not an attribute
            return None
    return None


def remove_margin(lines):
    """One leading space belongs to the comment mark, not to the text."""
    return "\n".join(line[1:] if line.startswith(" ") else line for line in lines)


def read_rust(source):
    """Blocks of the doc comments of a source file, and of its longer ordinary comments."""
    blocks, lines, i = [], source.split("\n"), 0
    while i < len(lines):
        found = COMMENT.match(lines[i])
        if not found:
            i += 1
            continue
        mark, run = found.group(1), []
        while i < len(lines) and (found := COMMENT.match(lines[i])) and found.group(1) == mark:
            run.append(found.group(2))
            i += 1
        part = read_markdown(remove_margin(run))
        if mark == "//":
            # Three lines or more are an explanation; shorter ones are labels or dead code.
            legal = re.search(r"copyright|licen[cs]e|SPDX", " ".join(run), re.I)
            if len(run) >= 3 and not legal:
                blocks += [b for b in part if b.kind == "paragraph" and is_prose(b.text, 0.85)]
            continue
        for block in part:
            block.level += 1  # below the heading with the item's name
        name = item_name(lines, i) if mark == "///" else None
        if name:
            blocks.append(Block("heading", f"`{name}`", 1))
        blocks += part
    return blocks


def library_documents(docs):
    """The standard library, from the source pages of its documentation.

    They hold each doc comment once, where the rendered pages repeat it for every implementor.
    """
    for library in LIBRARIES:
        for path in sorted((docs / "src" / library).rglob("*.rs.html")):
            name = path.relative_to(docs).as_posix()
            if SKIPPED_LIBRARY_PAGES.search(name):
                continue
            page = path.read_text(encoding="utf-8", errors="replace")
            code = re.search(r'<pre class="rust"><code>(.*?)</code></pre>', page, re.S)
            if code:
                text = re.sub(r"<a href=#\d+ id=\d+ data-nosnippet>\d+</a>", "", code.group(1))
                text = html.unescape(re.sub(r"<[^>]+>", "", text))
                yield Document(name.removesuffix(".html"), read_rust(text))


def fetch_crates(args):
    """Has cargo put the sources of CRATES into its registry cache, by way of a scratch project."""
    project = args.work / "crates"
    (project / "src").mkdir(parents=True, exist_ok=True)
    (project / "src/lib.rs").touch()
    manifest = '[package]\nname = "crates"\nversion = "0.0.0"\nedition = "2021"\n\n[dependencies]\n'
    for crate in CRATES:
        name, version = re.fullmatch(r"(.*?)-(\d.*)", crate).groups()
        manifest += f'{name} = "={version}"\n'
    (project / "Cargo.toml").write_text(manifest + "\n[workspace]\n")
    subprocess.run(["cargo", "fetch"], cwd=project, check=True)


def crate_licence(folder):
    manifest = (folder / "Cargo.toml").read_text(encoding="utf-8")
    found = re.search(r'(?m)^license\s*=\s*"([^"]*)"', manifest)
    return found.group(1) if found else "none stated"


def crate_documents(registry, licences):
    """README and source of each crate in CRATES; fills `licences` with what was found."""
    for crate in CRATES:
        folders = sorted(registry.glob(f"*/{crate}"))
        if not folders:
            print(f"warning: {crate} is not in the registry cache; left out", file=sys.stderr)
            continue
        licence = crate_licence(folders[0])
        if not re.search(r"\bMIT\b|Apache-2\.0", licence):
            print(f"warning: {crate} is {licence}; left out", file=sys.stderr)
            continue
        licences[crate] = licence
        for path in sorted(folders[0].rglob("*")):
            name = f"crates/{crate}/{path.relative_to(folders[0]).as_posix()}"
            if path.name.lower() == "readme.md":
                yield Document(name, read_markdown(path.read_text("utf-8", "replace")))
            elif path.suffix == ".rs" and not re.search(r"/(tests?|benches)[/.]", name):
                yield Document(name, read_rust(path.read_text("utf-8", "replace")))


# --------------------------------------------------------------------------------------------
# From blocks to text
# --------------------------------------------------------------------------------------------


def keep_new(document, seen):
    """The blocks of a document that no earlier document had, with code kept in proportion."""
    kept, prose_bytes, code_bytes = [], 0, 0
    for block in document.blocks:
        size = len(block.text.encode())
        if block.kind == "heading":
            kept.append(block)
            continue
        if block.kind == "code":
            # A listing is kept only while the prose around it leaves room for it.
            room = code_bytes + size <= CODE_SHARE * (prose_bytes + code_bytes + size)
            key = code_key(block.text)
            if size == 0 or not room or not block.text.isascii():
                continue
        else:
            key = paragraph_key(block.text)
            if not is_prose(block.text):
                continue
        if key in seen:
            continue
        seen.add(key)
        kept.append(block)
        if block.kind == "code":
            code_bytes += size
        else:
            prose_bytes += size
    return drop_bare_headings(kept)


def drop_bare_headings(blocks):
    """Without the headings that have no text below them."""
    kept = []
    for block in reversed(blocks):
        follower = kept[-1] if kept else None
        if block.kind == "heading":
            if follower is None:
                continue
            if follower.kind == "heading" and follower.level <= block.level:
                continue
        kept.append(block)
    return kept[::-1]


def render(blocks):
    """Blocks as light Markdown."""
    parts, previous = [], None
    for block in blocks:
        if previous:
            parts.append("\n" if block.kind == previous == "item" else "\n\n")
        if block.kind == "heading":
            parts.append("#" * min(block.level, 4) + " " + block.text)
        elif block.kind == "item":
            parts.append("- " + block.text)
        elif block.kind == "code":
            parts.append("```\n" + block.text + "\n```")
        else:
            parts.append(block.text)
        previous = block.kind
    return "".join(parts)


QUESTIONS = [
    "What is {}?", "Can you explain {}?", "Tell me about {}.", "How do I use {}?", "{}",
    "I have a question about {}.", "Please help me with {}.", "What should I know about {}?",
    "Hello, could you tell me more about {}? Thank you.", "I do not understand {}.",
]


def question(title, name):
    """A user's turn that the section below this title could answer."""
    title = title.rstrip(".:")
    if title.endswith("?"):
        return title
    code = re.search(r"E0\d{3}", title)
    if code:
        return f"What does the error {code.group(0)} mean, and how do I fix it?"
    if title.split(" ")[0].endswith("ing"):
        return f"I need help with {title[0].lower()}{title[1:]}."
    return QUESTIONS[int(fraction(name + title, "question") * len(QUESTIONS))].format(title)


# Headings of rustdoc's conventions: parts of the answer about an item, not questions.
PART_HEADING = re.compile(
    r"(an? )?(examples?|arguments|parameters|safety|errors?|panics?|returns?|notes?|usage|caveats)\b"
    r"|platform-specific|implementation|see also|time complexity|portability|history",
    re.I,
)


def chats(document, blocks):
    """Each section of a document as a question and its answer, in the chat template."""
    sections, title = [], None
    for block in blocks:
        if block.kind == "heading" and not PART_HEADING.match(block.text):
            title = block.text
            sections.append((title, []))
        elif title:
            sections[-1][1].append(block)
    for title, body in sections:
        answer = []
        for block in body:  # as many whole blocks as fit
            if len(render(answer + [block]).encode()) > MAX_ANSWER:
                break
            answer.append(block)
        text = render(drop_bare_headings(answer))
        if len(text.encode()) < 80:
            continue
        turns = [("user", question(title, document.name)), ("assistant", text)]
        if fraction(document.name + title, "system") < 0.25:
            turns.insert(0, ("system", "You are a helpful assistant."))
        yield "".join(f"{IM_START}{role}\n{content}{IM_END}\n" for role, content in turns)


def write_documents(path, texts):
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for text in texts:
            file.write(text + END_OF_TEXT)


def read_documents(path):
    return path.read_text(encoding="utf-8").split(END_OF_TEXT)[:-1]


def make_corpus(args):
    docs = args.docs or Path(
        subprocess.check_output(["rustc", "--print", "sysroot"], text=True).strip()
    ) / "share/doc/rust/html"
    if not docs.is_dir():
        sys.exit(f"{docs} is missing: run `rustup component add rust-docs`")
    registry = args.registry or (
        Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo")) / "registry/src"
    )
    licences, seen, train, held_out, sizes = {}, set(), [], [], {}
    streams = [
        book_documents(docs), release_documents(docs), library_documents(docs),
        crate_documents(registry, licences),
    ]
    for stream in streams:
        for document in stream:
            blocks = keep_new(document, seen)
            text = render(blocks)
            size = len(text.encode())
            if size < MIN_DOCUMENT:
                continue
            parts = document.name.split("/")
            source = "/".join(parts[:2]) if parts[0] in ("src", "crates") else parts[0]
            row = sizes.setdefault(source, [0, 0, 0, 0])
            row[0] += 1
            if fraction(document.name, "held-out") < HELD_OUT_SHARE:
                held_out.append(text)
                row[2] += size
            elif fraction(document.name, "chat") < CHAT_SHARE:
                conversations = list(chats(document, blocks))
                train += conversations
                row[3] += sum(len(c.encode()) for c in conversations)
            else:
                train.append(text)
                row[1] += size
    args.work.mkdir(parents=True, exist_ok=True)
    write_documents(args.work / "train.txt", train)
    write_documents(args.work / "heldout.txt", held_out)
    with (args.work / "sources.tsv").open("w") as file:
        print("source", "licence", "documents", "plain", "held_out", "chat", sep="\t", file=file)
        for source, row in sizes.items():
            licence = licences.get(source.removeprefix("crates/"), "MIT OR Apache-2.0")
            print(source, licence, row[0], row[1], row[2], row[3], sep="\t", file=file)
    totals = [sum(row[i] for row in sizes.values()) for i in range(4)]
    print("documents {}, plain {} B, held out {} B, chat {} B".format(*totals))


# --------------------------------------------------------------------------------------------
# Tokenizer
# --------------------------------------------------------------------------------------------

CODE = re.compile(r"```\n.*?\n```", re.S)

# Words of letters between people, which documentation uses seldom.  Those that the training
# text has at least EVERYDAY_LEAST times are given to the tokenizer EVERYDAY_WEIGHT times more,
# so that they become whole tokens; rarer ones stay in pieces, because a token that is hardly
# ever seen would keep an untrained embedding.
EVERYDAY_LEAST = 10
EVERYDAY_WEIGHT = 600
EVERYDAY = """
my me mine our us your yours you we I Hello Hi Dear Thank Thanks thank thanks please Please
sorry Sorry welcome help helped regards Regards Best Kind best kind wishes sincerely Yours Mr
Mrs Ms Team team service Service support Support customer Customer order ordered orders Order
ordering buy bought sell sold shop store item items product products price prices pay paid
payment payments card bank money refund refunded charge charged bill invoice account accounts
email mail address phone number name date receipt delivery deliver delivered arrive arrived
arrives ship shipped shipping parcel package box sent send sending receive received return
returned returns replace replacement replaced exchange broken damaged wrong missing late delay
delayed lost found problem problems issue trouble mistake error question questions answer reply
contact contacted call called touch hear heard speak write wrote writing tell told ask asked
asking today tomorrow yesterday week weeks month months year years day days hour hours minutes
time times morning evening soon already still yet Monday Tuesday Wednesday Thursday Friday
Saturday Sunday January February March April May June July August September October November
December cancel cancelled cancellation subscription change changed confirm confirmed check
checked update updated login password online website page link could Could would Would should
can Can might must will won't can't don't didn't doesn't isn't haven't hasn't wasn't couldn't
I'm I've I'd I'll you're we're it's want wanted need needed like liked love hope hoped wait
waiting waited try tried trying use using work working works get getting got give gave given
good great happy better bad new old first last next same other another every some any many much
more most few lot little big small large free full before after again once twice about because
since until while when where why how what which who there here they them their this that these
those possible available correct able ready sure clear quick quickly further however instead
together really always never maybe perhaps people person friend family house home office city
street country company business color size pair shoes shirt book gift
""".split()


def everyday_text(texts):
    counts = Counter(w for text in texts for w in re.findall(r"[A-Za-z]+(?:'[a-z]+)?", text))
    words = [word for word in EVERYDAY if counts[word] >= EVERYDAY_LEAST]
    # A capitalised word may open a line; all may follow a space.
    return "\n".join(f"{word} {word}" if word[0].isupper() else f" {word}" for word in words)


def tokenizer_texts(path):
    """Prose for the merges: every listing but those of one document in four goes away.

    The vocabulary is small, and what it should be good at is English.
    """
    texts = read_documents(path)
    yield from [everyday_text(texts)] * EVERYDAY_WEIGHT
    for i, text in enumerate(texts):
        for token in SPECIAL_TOKENS:
            text = text.replace(token, "\n")
        if i % 4:
            text = re.sub(r"`[^`\n]*`", "", CODE.sub("", text))
        yield text


def make_tokenizer(args):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=CONFIG["vocab_size"],
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(tokenizer_texts(args.work / "train.txt"), trainer)
    assert tokenizer.get_vocab_size() == CONFIG["vocab_size"]
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(args.out / "tokenizer.json"))
    write_json(
        args.out / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": CONFIG["max_position_embeddings"],
            "bos_token": END_OF_TEXT,
            "eos_token": END_OF_TEXT,
            "pad_token": END_OF_TEXT,
            "additional_special_tokens": [IM_START, IM_END],
            "add_bos_token": False,
            "add_eos_token": False,
            "clean_up_tokenization_spaces": False,
            "chat_template": CHAT_TEMPLATE,
        },
    )
    write_json(args.out / "config.json", CONFIG)
    write_json(
        args.out / "generation_config.json",
        {"bos_token_id": 0, "eos_token_id": [0, 2], "pad_token_id": 0},
    )
    save_model(Llama(args.seed), args.out)  # untrained, so that the folder is complete at once
    held_out = "".join(read_documents(args.work / "heldout.txt"))
    count = len(tokenizer.encode(held_out).ids)
    print(f"held-out text: {len(held_out.encode()) / count:.3f} bytes per token")


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


# --------------------------------------------------------------------------------------------
# Model.  Module names are those of Hugging Face's Llama, so that the state dict needs no mapping.
# --------------------------------------------------------------------------------------------

class RMSNorm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return F.rms_norm(x.float(), x.shape[-1:], self.weight, CONFIG["rms_norm_eps"])


def rotary_tables(length):
    half = CONFIG["head_dim"] // 2
    frequencies = CONFIG["rope_theta"] ** (-torch.arange(half) / half)
    angles = torch.outer(torch.arange(length), frequencies)
    angles = torch.cat([angles, angles], dim=-1)  # Llama's "rotate half" layout
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat([-second, first], dim=-1)
    return (x * cos + turned * sin).to(x.dtype)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        hidden, size = CONFIG["hidden_size"], CONFIG["head_dim"]
        self.heads, self.kv_heads = CONFIG["num_attention_heads"], CONFIG["num_key_value_heads"]
        self.q_proj = nn.Linear(hidden, self.heads * size, bias=False)
        self.k_proj = nn.Linear(hidden, self.kv_heads * size, bias=False)
        self.v_proj = nn.Linear(hidden, self.kv_heads * size, bias=False)
        self.o_proj = nn.Linear(self.heads * size, hidden, bias=False)

    def forward(self, x, cos, sin):
        batch, length, _ = x.shape

        def split(y, heads):
            return y.view(batch, length, heads, -1).transpose(1, 2)

        query = rotate(split(self.q_proj(x), self.heads), cos, sin)
        key = rotate(split(self.k_proj(x), self.kv_heads), cos, sin)
        value = split(self.v_proj(x), self.kv_heads)
        group = self.heads // self.kv_heads  # query heads that share one key-value head
        key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, length, -1))


class FeedForward(nn.Module):
    def __init__(self):
        super().__init__()
        hidden, inner = CONFIG["hidden_size"], CONFIG["intermediate_size"]
        self.gate_proj = nn.Linear(hidden, inner, bias=False)
        self.up_proj = nn.Linear(hidden, inner, bias=False)
        self.down_proj = nn.Linear(inner, hidden, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.input_layernorm = RMSNorm(CONFIG["hidden_size"])
        self.self_attn = Attention()
        self.post_attention_layernorm = RMSNorm(CONFIG["hidden_size"])
        self.mlp = FeedForward()

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Trunk(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed_tokens = nn.Embedding(CONFIG["vocab_size"], CONFIG["hidden_size"])
        self.layers = nn.ModuleList(Layer() for _ in range(CONFIG["num_hidden_layers"]))
        self.norm = RMSNorm(CONFIG["hidden_size"])


class Llama(nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        self.model = Trunk()
        cos, sin = rotary_tables(CONFIG["max_position_embeddings"])
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.initialise(seed)

    def initialise(self, seed):
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if weight.dim() < 2:
                continue
            std = CONFIG["initializer_range"]
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                # Two additions a layer: keeps the residual stream's size at the start.
                std /= math.sqrt(2 * CONFIG["num_hidden_layers"])
            nn.init.normal_(weight, std=std, generator=generator)

    def forward(self, ids):
        length = ids.shape[1]
        cos, sin = self.cos[:length], self.sin[:length]
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers:
            x = layer(x, cos, sin)
        return F.linear(self.model.norm(x), self.model.embed_tokens.weight)  # tied


def save_model(model, folder):
    """The weights as bfloat16, under the final name only once they are complete."""
    from safetensors.torch import save_file

    state = {k: v.detach().to(torch.bfloat16).contiguous() for k, v in model.state_dict().items()}
    partial = folder / "model.safetensors.partial"
    save_file(state, str(partial), metadata={"format": "pt"})
    os.replace(partial, folder / "model.safetensors")


def load_model(folder):
    from safetensors.torch import load_file

    model = Llama()
    state = load_file(str(folder / "model.safetensors"))
    model.load_state_dict({name: value.float() for name, value in state.items()})
    return model.eval()


# --------------------------------------------------------------------------------------------
# Training
# --------------------------------------------------------------------------------------------


def load_tokenizer(folder):
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def token_stream(tokenizer, path, shuffle_seed=None):
    """All documents in one tensor, each followed by the end-of-text token.

    Documents are shuffled once, so that neighbours in a window are unrelated.
    """
    texts = read_documents(path)
    if shuffle_seed is not None:
        generator = torch.Generator().manual_seed(shuffle_seed)
        texts = [texts[i] for i in torch.randperm(len(texts), generator=generator)]
    ids = [0]
    for encoding in tokenizer.encode_batch(texts):
        ids += encoding.ids + [0]
    return torch.tensor(ids, dtype=torch.int64)


class Batches:
    """Windows of the stream; an epoch sees each token once, in windows cut at a new offset."""

    def __init__(self, stream, seed):
        self.stream, self.seed = stream, seed
        self.epoch, self.order, self.next = -1, [], 0

    def start_epoch(self, length):
        self.epoch += 1
        generator = torch.Generator().manual_seed(self.seed * 1000 + self.epoch)
        offset = int(torch.randint(length, (1,), generator=generator))
        count = (len(self.stream) - 1 - offset) // length
        starts = offset + length * torch.randperm(count, generator=generator)
        self.order, self.next, self.length = starts.tolist(), 0, length

    def take(self, count, length):
        windows = []
        while len(windows) < count:
            if self.next >= len(self.order) or length != self.length:
                self.start_epoch(length)
            start = self.order[self.next]
            self.next += 1
            windows.append(self.stream[start : start + length + 1])
        return torch.stack(windows)


def make_optimizer(model):
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    scales = [p for p in model.parameters() if p.dim() < 2]  # norms: no pull towards zero
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": scales, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8, fused=True)


def learning_rate(step, args):
    """Warm-up, a constant stretch, then a linear descent to zero over the last steps.

    A run that must end early can be resumed with a smaller --steps and still descend.
    """
    decay_start = args.steps - args.decay_steps
    if step < args.warmup:
        return args.lr * (step + 1) / args.warmup
    if step < decay_start:
        return args.lr
    return args.lr * (args.steps - step) / args.decay_steps


def quick_loss(model, stream, autocast, windows=48, length=512):
    """Mean loss over evenly spread held-out windows: a gauge while training, not the result."""
    starts = torch.linspace(0, len(stream) - length - 2, windows).long().tolist()
    total = 0.0
    model.eval()
    with torch.no_grad(), autocast():
        for i in range(0, windows, 8):
            batch = torch.stack([stream[s : s + length + 1] for s in starts[i : i + 8]])
            logits = model(batch[:, :-1]).float().flatten(0, 1)
            total += F.cross_entropy(logits, batch[:, 1:].flatten(), reduction="sum").item()
    model.train()
    return total / (windows * length)


def save_checkpoint(path, model, optimizer, batches, step):
    state = {
        "model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step,
        "epoch": batches.epoch, "order": batches.order, "next": batches.next,
        "length": batches.length,
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def load_checkpoint(path, model, optimizer, batches):
    state = torch.load(path)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    batches.epoch, batches.order = state["epoch"], state["order"]
    batches.next, batches.length = state["next"], state["length"]
    return state["step"]


def train(args):
    torch.set_num_threads(args.threads)
    tokenizer = load_tokenizer(args.out)
    stream = token_stream(tokenizer, args.work / "train.txt", shuffle_seed=args.seed)
    held_out = token_stream(tokenizer, args.work / "heldout.txt")
    print(f"{len(stream)} training tokens, {len(held_out)} held out", flush=True)

    model = Llama(args.seed).train()
    optimizer = make_optimizer(model)
    batches = Batches(stream, args.seed)
    checkpoint = args.work / "checkpoint.pt"
    first = load_checkpoint(checkpoint, model, optimizer, batches) if args.resume else 0

    def autocast():
        return torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bf16")

    def loss_of(ids):
        with autocast():
            logits = model(ids[:, :-1])
        return F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())

    if args.compile:
        loss_of = torch.compile(loss_of, dynamic=False)  # one build for each window length

    started = time.monotonic()
    for step in range(first, args.steps):
        # The last part uses the whole context, so that all its positions have been seen.
        long = step >= args.steps - args.long_steps
        length = CONFIG["max_position_embeddings"] if long else args.length
        ids = batches.take(args.batch_tokens // length, length)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, args)
        loss = loss_of(ids)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

        done = step + 1
        if done % args.log_every == 0 or done == args.steps:
            seconds = time.monotonic() - started
            rate = (done - first) * args.batch_tokens / seconds
            line = f"step {done} epoch {batches.epoch} loss {loss.item():.3f} {rate:.0f} tokens/s"
            print(f"{line} {seconds / 60:.1f} min", flush=True)
        if done % args.eval_every == 0 or done == args.steps:
            print(f"step {done} held-out {quick_loss(model, held_out, autocast):.4f}", flush=True)
            save_checkpoint(checkpoint, model, optimizer, batches, done)
    save_model(model, args.out)


# --------------------------------------------------------------------------------------------
# Evaluation
# --------------------------------------------------------------------------------------------


def held_out_nats(model, ids, window=512, stride=256):
    """Sum of the losses of all tokens after the first, each with at most `window` before it.

    Windows overlap by half, so beyond a document's start a token sees `stride` or more.
    """
    total, scored = 0.0, 1  # token 0 starts the document and is given
    for start in range(0, max(1, len(ids) - 1), stride):
        end = min(start + window, len(ids) - 1)
        if end < scored:
            break
        logits = model(ids[None, start:end])[0].float()
        losses = F.cross_entropy(logits, ids[start + 1 : end + 1], reduction="none")
        total += losses[scored - start - 1 :].sum().item()
        scored = end + 1
    return total


def xz_size(data):
    return len(subprocess.run(["xz", "-9", "-c"], input=data, stdout=subprocess.PIPE).stdout)


def continuation(model, tokenizer, prompt, count, temperature=0.0, seed=0):
    """A sample; temperature 0 is greedy.  Stops at end of text or end of turn."""
    generator = torch.Generator().manual_seed(seed)
    ids = [0] + tokenizer.encode(prompt).ids
    start = len(ids)
    for _ in range(count):
        logits = model(torch.tensor([ids[-512:]]))[0, -1].float()
        if temperature == 0:
            choice = int(logits.argmax())
        else:
            odds = F.softmax(logits / temperature, dim=-1)
            choice = int(torch.multinomial(odds, 1, generator=generator))
        if choice in (0, 2):
            break
        ids.append(choice)
    return tokenizer.decode(ids[start:])


PROMPTS = [
    "Ownership is",
    "The compiler will",
    "If you want to cancel",
    "Thank you for your",
    "# Installing\n\nTo install",
    f"{IM_START}user\nWhat is a trait?{IM_END}\n{IM_START}assistant\n",
    f"{IM_START}user\nHow do I return an order?{IM_END}\n{IM_START}assistant\n",
]

EMAIL = (
    "Hello,\n\nI ordered a pair of shoes from your shop last week, but they still haven't "
    "arrived. Could you please check what happened to my order 48213? If it can't be found, "
    "I'd like to have my money back.\n\nThank you for your help.\n\nBest regards,\nAnna Schmidt\n"
)


@torch.no_grad()
def evaluate(args):
    torch.set_num_threads(args.threads)
    tokenizer, model = load_tokenizer(args.out), load_model(args.out)
    texts = read_documents(args.work / "heldout.txt")
    nats, tokens = 0.0, 0
    for encoding in tokenizer.encode_batch(texts):
        # From the end-of-text before the document to the one after it: all of it is paid for.
        ids = torch.tensor([0] + encoding.ids + [0])
        nats += held_out_nats(model, ids)
        tokens += len(ids) - 1
    data = "\n".join(texts).encode()
    train_data = (args.work / "train.txt").read_bytes()
    alone = xz_size(data)
    with_train = xz_size(train_data + data) - xz_size(train_data)
    print(f"held-out: {len(texts)} documents, {len(data)} bytes, {tokens} tokens")
    print(f"model: {nats / tokens:.4f} nats/token, {nats / math.log(2) / len(data):.4f} bits/byte")
    print(f"xz -9: {alone * 8 / len(data):.4f} bits/byte; "
          f"after the training text: {with_train * 8 / len(data):.4f} bits/byte")
    mail = tokenizer.encode(EMAIL).ids
    print(f"an e-mail: {len(EMAIL.encode()) / len(mail):.2f} bytes per token")
    for prompt in PROMPTS:
        for temperature in (0.0, 0.7):
            text = continuation(model, tokenizer, prompt, 80, temperature)
            print(f"--- {prompt!r} (temperature {temperature})\n{text}")


# --------------------------------------------------------------------------------------------
# Command line
# --------------------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["fetch", "corpus", "tokenizer", "train", "evaluate"])
    parser.add_argument("--work", type=Path, default=Path("base-work"), help="intermediate files")
    parser.add_argument("--out", type=Path, default=Path("base-model"), help="the model's folder")
    parser.add_argument("--docs", type=Path, help="Rust HTML documentation (default: rustc's)")
    parser.add_argument("--registry", type=Path, help="cargo's registry/src (default: in CARGO_HOME)")
    parser.add_argument("--seed", type=int, default=1, help="of weights and data order")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    parser.add_argument("--steps", type=int, default=4800, help="optimizer steps in all")
    parser.add_argument("--warmup", type=int, default=200, help="steps of rising learning rate")
    parser.add_argument("--decay-steps", type=int, default=1800, help="last steps, falling rate")
    parser.add_argument("--long-steps", type=int, default=300, help="last steps, full context")
    parser.add_argument("--length", type=int, default=256, help="tokens in a training window")
    parser.add_argument("--batch-tokens", type=int, default=2048, help="tokens in a step")
    parser.add_argument("--lr", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--precision", choices=["bf16", "f32"], default="bf16")
    parser.add_argument("--compile", action="store_true", help="use torch.compile (twice the speed)")
    parser.add_argument("--resume", action="store_true", help="go on from WORK/checkpoint.pt")
    parser.add_argument("--log-every", type=int, default=50, help="steps between log lines")
    parser.add_argument("--eval-every", type=int, default=250, help="also saves a checkpoint")
    args = parser.parse_args()
    stages = {
        "fetch": fetch_crates, "corpus": make_corpus, "tokenizer": make_tokenizer,
        "train": train, "evaluate": evaluate,
    }
    stages[args.stage](args)


if __name__ == "__main__":
    main()
