"""Checker for plain words: banned words, dialect openings and long sentences in docstrings, messages and docs.

Usage: ``python tools/plain_words.py [--measures] [PATHS ...]`` from the root of the checkout. Without paths the whole
project is read and the limits on the measures apply as well.

What is read:

- docstrings of modules, classes, functions and attributes in Python files;
- messages, help texts and notes (string literals) and comments, except in tests and benchmarks;
- comments in YAML files;
- Markdown pages, except the changelog and text between ``<!-- generated -->`` and ``<!-- /generated -->``.

Code, URLs, DOIs and references in parentheses are ignored. Each violation is one line, ``path:line: rule: excerpt``.
The exit code is 1 if there is a violation, otherwise 0.
"""

import argparse
import ast
import io
import re
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

DEFAULT_PATHS = ("src", "docs", "README.md", "CONTRIBUTING.md", "examples", "benchmarks", "tests", "tools")
SKIPPED_NAMES = {"_build", "__pycache__", "CHANGELOG.md"}
DOCSTRINGS_ONLY = {"tests", "benchmarks"}  # folders in which messages and comments are not checked

MAX_WORDS = 25
MAX_WORDS_DOCS = 30
MAX_WHERE_PER_1000 = 2.0
MAX_TELL_PER_1000 = 0.5
MAX_OPENINGS = 0.02
_LIMITS = f'"where" {MAX_WHERE_PER_1000} and "tell" {MAX_TELL_PER_1000} per 1000 words, openings {MAX_OPENINGS:.0%}'

TELL_WORDS = re.compile(
    r"\b(?:tells?|telling|told|says?|said|saying|stands?|stood|standing|lies?|lying|lain|anew|alike|besides?)\b",
    re.IGNORECASE,
)
OPENING = re.compile(r"\s*(?:What|Which|Where|Whether|How|Of|That|Who|Whose)\b")
ENTRY_OPENING = re.compile(r"\s*(?:what|which|where|of|whose|who|that)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Ban:
    """A banned word or phrase.

    Attributes:
        pattern: regular expression, matched without regard to case.
        instead: replacement that the report suggests.
    """

    pattern: str
    instead: str


_COUNTED = (
    "row|line|file|folder|column|value|number|entry|sentence|process|thread|case|scan|task|job|sheet|page|window|channel"
    "|mask|score|key|picture|figure|point|sample|batch|epoch|step|slice"
)
_CLASSES = (
    "number|folder|file|scan|image|model|mask|series|structure|plan|recipe|dataset|case|patient|name|path|value|contour"
    "|archive|integer|device|setting|option|table|page|zip|part"
)
BANS = (
    Ban(r"\btold apart\b|\btell(?:s|ing)? (?:\w+ )?apart\b", "distinguished, identified"),
    Ban(r"\btold\b|\btell(?:s|ing)?\b", "reported, given, known, show"),
    Ban(r"\bsaid\b|(?<!that is to )\bsay(?:s|ing)?\b", "reported, states, specifies, describes"),
    Ban(r"\bstands? for\b", "means, represents"),
    Ban(r"\b(?:stands?|stood|standing)\b(?!-)", "is, exists, is stored"),
    Ban(r"\b(?:lies?|lying|lain)\b", "is, is stored, is located"),
    Ban(r"\banew\b", "again"),
    Ban(r"\balike\b", "identical, equal, the same way"),
    Ban(r"\bbesides\b", "also, in addition to"),
    Ban(r"\bbeside\b", "next to"),
    Ban(r"\bmend(?:s|ed|ing)?\b", "repair, post-process"),
    Ban(r"\bpieces?\b", "connected component, part"),
    Ban(r"\b(?:whence|thereof|whereof|wherein|whereby|whereon|hereof|hitherto)\b", "from which, its, in which …"),
    Ban(r"(?<!by )(?<!other )\bhand(?:s|ed|ing)? (?:\w+ )?(?:on|back|over|out)\b", "return, pass"),
    Ban(r"\banswer(?:s|ed)? with\b", "return"),
    Ban(r"\b(?:go|goes|going|went|gone) by\b", "use, is identified by, depends on"),
    Ban(r"\b(?:go|goes|going|went|gone) on\b", "continue"),
    Ban(r"\b(?:whatever|whoever|whichever)\b", "any, every, everything that"),
    Ban(r"\bparted\b", "split, separated"),
    Ban(r"\bwanted\b", "required, requested, expected"),
    Ban(r"\bask(?:s|ed)? of\b", "require, need"),
    Ban(r"\btaken for\b", "treated as, mistaken for"),
    Ban(r"\b(?:leave|leaves|left|leaving) (?:\w+ )?away\b", "omit, remove"),
    Ban(r"\b(?<!on )(?<!because )of (?:its|their|his|her|our|my|your) own\b", "its own …, a separate …"),
    Ban(r"\bturned\b(?! (?:on|off|into|out))", "reoriented, rotated"),
    Ban(r"\b(?:a|the|its|this|that|one|same|their|other|another|right|wrong) places?\b", "path, index, position"),
    Ban(rf"(?<!there )(?<!there's )\b(?:is|are|was|were) no (?:\w+ )?(?:{_CLASSES})\b", "is not a …"),
    Ban(rf"\b(?:one|an?|two) (?:{_COUNTED})s? an? (?!few\b|little\b|lot\b)\w+", "one … per …"),
    Ban(r"\bof (?:each|every|all) \w+ the \w+", "the … of each …, … per …"),
)

_LOCATION = re.compile(
    r"\b(?:folder|directory|path|file|page|position|location|points?|voxels?|pixels?|slices?|regions?|areas?"
    r"|everywhere|masks?|know|knows|shows?|see)\s+$",
    re.IGNORECASE,
)
_STORED = re.compile(
    r"where\s+(?:[\w'-]+\s+){1,6}?(?:is|are|was|were|be)\s+(?:stored|saved|located|written|kept)\b", re.IGNORECASE
)
_CONDITION = re.compile(
    r"(?<![.\w])where\s+(?:it|there|an?|the|no|none|nothing|one|two|several|some|they|he|she|we|you|this|that|these"
    r"|those|all|any|both|each|every|its|their|neither|not|possible|necessary|needed|available|given|applicable|only"
    r"|many|more|few|most|anything|something|nobody|everything|others?)\b",
    re.IGNORECASE,
)

_MASK = "¤"  # replaces code, URLs and formatted values; a token that consists of it is not a word
_CODE = re.compile(r":[a-z:]+:`[^`]*`|``[^`]+``|`[^`]+`|[\"“]\w+[\"”]")  # a quoted word is mentioned, not used
_LINKS = re.compile(r"(?:https?://|\bdoi:? ?10\.|\b10\.\d{4,}/)[^\s)|]*[^\s)|.,;:]|(?<=\])\([^)\s]*\)")
_TAGS = re.compile(r"<!--.*?-->|</?[a-zA-Z][^<>]*>|\$\$?[^$\n]+\$\$?", re.DOTALL)
_REFERENCE = re.compile(r"\([^()]*\b(?:19|20)\d\d\b[^()]*\)|\([^()]*(?:¤{6,}|et al\.)[^()]*\)")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|et al|vs|cf|Figs?|Eqs?|Sec|Tab|Dr|approx|resp|incl|excl|pp?)\."
    r"|\b[A-Z]\.)$"
)
_SENTENCE_END = re.compile(r"[.!?][\"')\]*_]*\s+(?=[\"'(\[*_]*[A-Z0-9¤<])")
_WORD = re.compile(r"[A-Za-z]+(?:['’][A-Za-z]+)?")
_SECTION = re.compile(r"(Args|Attributes|Returns|Yields|Raises|Examples?|Notes?|References?|Sources?|Warnings?):")
_ENTRY_SECTIONS = ("Args", "Attributes", "Raises")
_ENTRY = re.compile(r"\s*[*\w., ]+(?: \([^)]*\))?:(?:\s+|$)")
_ITEM = re.compile(r"\s*(?:[-*+•]|\d+[.)])\s+")
_SPEAKING_CALLS = {
    *("BadInput", "warn", "print", "info", "warning", "error", "exception", "debug", "log", "critical", "echo"),
    *("Option", "Argument", "Field", "fail", "rule", "status"),
}  # calls that show their text to people, in addition to exceptions
_SPOKEN_KEYWORDS = {"help", "description", "short_help", "epilog", "message", "title", "label"}


@dataclass(frozen=True)
class Block:
    """A paragraph, list entry, heading or message.

    Attributes:
        path: file that contains the block.
        line: line of the file on which the block begins.
        corpus: ``docstrings``, ``messages``, ``comments`` or ``docs``.
        role: ``summary``, ``paragraph``, ``entry`` (of a section such as Args), ``item``, ``heading`` or ``table``.
        text: the text as written.
        masked: the text with code, links and references replaced by characters that are not words; equally long.
    """

    path: Path
    line: int
    corpus: str
    role: str
    text: str
    masked: str


@dataclass(frozen=True)
class _Line:
    number: int
    text: str
    masked: str


@dataclass(frozen=True)
class Violation:
    """A broken rule.

    Attributes:
        path: file that breaks it.
        line: line number, from 1.
        rule: the rule and the replacement.
        excerpt: text around the violation.
    """

    path: Path
    line: int
    rule: str
    excerpt: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.excerpt}"


@dataclass(frozen=True)
class Measures:
    """Rates of dialect in one corpus.

    Attributes:
        words: number of words.
        where: "where" per 1000 words.
        conditions: "if" per 1000 words.
        tell: words such as "told", "said", "stands", "lies", "anew" per 1000 words.
        openings: share of docstring summaries that begin with a word such as "What" or "Of".
        long_sentences: share of sentences longer than the limit.
    """

    words: int
    where: float
    conditions: float
    tell: float
    openings: float
    long_sentences: float

    @property
    def within_limits(self) -> bool:
        """Return True if no rate exceeds its limit."""
        return self.where <= MAX_WHERE_PER_1000 and self.tell <= MAX_TELL_PER_1000 and self.openings <= MAX_OPENINGS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checker and return the exit code."""
    parser = argparse.ArgumentParser(description="Check docstrings, messages, comments and docs for plain words.")
    parser.add_argument("paths", nargs="*", type=Path, help="files and folders to check; default: the whole project")
    parser.add_argument("--measures", action="store_true", help="print the measures only")
    options = parser.parse_args(arguments)
    paths = options.paths or [Path(name) for name in DEFAULT_PATHS if Path(name).exists()]
    blocks = [block for path in source_files(paths) for block in read_blocks(path)]
    violations = [violation for block in blocks for violation in check_block(block)]
    corpora = dict.fromkeys(block.corpus for block in blocks)
    measures = {corpus: measure([block for block in blocks if block.corpus == corpus]) for corpus in corpora}
    if not options.measures:
        print(*violations, sep="\n", end="\n\n" if violations else "")
    print(measures_table(measures))
    if options.measures:
        return 0
    exceeded = [corpus for corpus, rates in measures.items() if not options.paths and not rates.within_limits]
    for corpus in exceeded:
        print(f"{corpus}: over a limit: {_LIMITS}")
    print(f"{len(violations) or 'no'} violations")
    return 1 if violations or exceeded else 0


def source_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the Python, YAML and Markdown files under the paths, in alphabetical order."""
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            skipped = any(part in SKIPPED_NAMES or (part.startswith(".") and part.strip(".")) for part in file.parts)
            if file.is_file() and not skipped and file.suffix in _READERS:
                yield file


def read_blocks(path: Path) -> list[Block]:
    """Return the blocks of running text in a file."""
    return list(_READERS[path.suffix](path, path.read_text(encoding="utf-8")))


def check_block(block: Block) -> Iterator[Violation]:
    """Yield the violations in a block."""
    yield from _banned_words(block)
    if block.role == "summary" and (match := OPENING.match(block.masked)):
        yield _violation(block, match.start(), f"summary opens with {match[0].strip()} → imperative or noun phrase")
    elif block.role == "entry" and (match := ENTRY_OPENING.match(block.masked)):
        yield _violation(block, match.start(), f"entry opens with {match[0].strip()} → noun phrase")
    if block.corpus in ("docstrings", "messages"):
        for start, sentence in sentences(block):
            length = count_words(sentence)
            if length > MAX_WORDS:
                yield _violation(block, start, f"sentence of {length} words → at most {MAX_WORDS}")


def measure(blocks: Sequence[Block]) -> Measures:
    """Return the rates of dialect in the blocks of one corpus."""
    text = " ".join(block.masked for block in blocks)
    words = len(_WORD.findall(text))
    summaries = [block for block in blocks if block.role == "summary"]
    lengths = [count_words(sentence) for block in blocks for _, sentence in sentences(block)]
    limit = MAX_WORDS_DOCS if blocks and blocks[0].corpus == "docs" else MAX_WORDS
    return Measures(
        words=words,
        where=_per_1000(len(re.findall(r"(?<!\.)\bwhere\b(?!\()", text, re.IGNORECASE)), words),
        conditions=_per_1000(len(re.findall(r"\bif\b", text, re.IGNORECASE)), words),
        tell=_per_1000(len(TELL_WORDS.findall(text)), words),
        openings=_share(OPENING.match(block.masked) is not None for block in summaries),
        long_sentences=_share(length > limit for length in lengths),
    )


def measures_table(measures: dict[str, Measures]) -> str:
    """Return the measures of all corpora as a table of text."""
    rows: list[tuple[str, ...]] = [("per 1000 words", "words", "where", "if", "tell", "openings", "long")]
    for corpus, rates in measures.items():
        per_1000 = (f"{rate:.2f}" for rate in (rates.where, rates.conditions, rates.tell))
        rows.append((corpus, str(rates.words), *per_1000, f"{rates.openings:.1%}", f"{rates.long_sentences:.1%}"))
    return "\n".join(f"{row[0]:14}" + "".join(f"{cell:>9}" for cell in row[1:]) for row in rows)


def sentences(block: Block) -> Iterator[tuple[int, str]]:
    """Yield start offset and masked text of each sentence that counts for the length limit."""
    if block.role in ("item", "table", "heading") or block.corpus == "comments":
        return
    start = 0
    for match in _SENTENCE_END.finditer(block.masked):
        if not _ABBREVIATION.search(block.masked[: match.start() + 1]):
            yield start, block.masked[start : match.end()]
            start = match.end()
    yield start, block.masked[start:]


def count_words(sentence: str) -> int:
    """Count the words of a masked sentence: tokens with a letter or digit outside code and links."""
    return sum(any(c.isalnum() for c in token) for token in sentence.split())


def docstring_blocks(path: Path, line: int, text: str, *, corpus: str = "docstrings") -> Iterator[Block]:
    """Split a docstring into summary, paragraphs, items and the entries of its sections.

    Args:
        path: file that contains the docstring.
        line: line of the opening quotes.
        text: the raw docstring, with its indentation.
        corpus: corpus of the blocks.
    """
    masked = mask(text)
    section, role, entry_indent, code_indent = "", "summary", -1, -1
    run: list[_Line] = []
    for number, (raw, hidden) in enumerate(zip(text.split("\n"), masked.split("\n"), strict=True), start=line):
        content = raw.strip()
        indent = len(raw) - len(raw.lstrip())
        if not content:
            yield from _joined(path, corpus, role, run)
            run = []
            role = "paragraph"
            continue
        if code_indent >= 0:
            if indent > code_indent:
                continue
            code_indent = -1
        if content.startswith((">>>", "...", "|", "===", "---", "+--", ".. ")):
            yield from _joined(path, corpus, role, run)
            run = []
            continue
        if match := _SECTION.fullmatch(content):
            yield from _joined(path, corpus, role, run)
            run = []
            section, role, entry_indent = match[1], "paragraph", -1
            continue
        if section in _ENTRY_SECTIONS:
            entry_indent = indent if entry_indent < 0 else entry_indent
            if indent == entry_indent and (match := _ENTRY.match(raw)):
                yield from _joined(path, corpus, role, run)
                run = []
                role = "entry"
                run.append(_Line(number, raw[match.end() :], hidden[match.end() :]))
                continue
            if indent < entry_indent:
                yield from _joined(path, corpus, role, run)
                run = []
                section, role = "", "paragraph"
        if match := _ITEM.match(raw):
            yield from _joined(path, corpus, role, run)
            run = []
            role = "item"
            run.append(_Line(number, raw[match.end() :], hidden[match.end() :]))
            continue
        run.append(_Line(number, raw, hidden))
        if content.endswith("::"):
            code_indent = indent
    yield from _joined(path, corpus, role, run)


def markdown_blocks(path: Path, text: str) -> Iterator[Block]:
    """Split a Markdown page into headings, paragraphs, list items and tables, without code and generated text."""
    without_code = text
    for pattern in (r"^([ \t]*)(```+|~~~+).*?^\s*\2[ \t]*$", r"<!-- generated -->.*?<!-- /generated -->"):
        without_code = re.sub(
            pattern, lambda match: re.sub(r"[^\n]", " ", match[0]), without_code, flags=re.MULTILINE | re.DOTALL
        )
    masked = mask(without_code)
    role = "paragraph"
    run: list[_Line] = []
    for number, (raw, hidden) in enumerate(zip(without_code.split("\n"), masked.split("\n"), strict=True), start=1):
        if not raw.strip():
            yield from _joined(path, "docs", role, run)
            run = []
            role = "item" if role == "item" else "paragraph"
        elif match := re.match(r"\s*#+ ", raw):
            yield from _joined(path, "docs", role, run)
            run = []
            yield Block(path, number, "docs", "heading", raw, hidden)
            role = "paragraph"
        elif raw.lstrip().startswith("|"):
            yield from _joined(path, "docs", role, run)
            run = []
            cells = re.split(r"(?<!\\)\|", hidden)
            if any(_WORD.search(cell) for cell in cells):
                yield Block(path, number, "docs", "table", raw, hidden)
        elif match := _ITEM.match(raw):
            yield from _joined(path, "docs", role, run)
            run = []
            role = "item"
            run.append(_Line(number, raw[match.end() :], hidden[match.end() :]))
        else:
            if not run:
                role = "item" if role == "item" and raw.startswith("  ") else "paragraph"
            run.append(_Line(number, raw, hidden))
    yield from _joined(path, "docs", role, run)


def python_blocks(path: Path, text: str) -> Iterator[Block]:
    """Yield the docstrings of a Python file, and its messages and comments unless it is a test or benchmark."""
    tree = ast.parse(text)
    docstrings = list(_docstrings(tree))
    for constant in docstrings:
        yield from docstring_blocks(path, constant.lineno, str(constant.value))
    if DOCSTRINGS_ONLY.isdisjoint(_relative(path).parts):
        yield from _messages(path, tree, {id(constant) for constant in docstrings})
        yield from _comments(path, text)


def yaml_blocks(path: Path, text: str) -> Iterator[Block]:
    """Yield the comments of a YAML file."""
    comments = [(n, m[1]) for n, line in enumerate(text.split("\n"), 1) if (m := re.search(r"(?:^|\s)#\s*(.*)", line))]
    yield from _comment_runs(path, comments)


def mask(text: str) -> str:
    """Return the text with code, links, tags and references replaced, at the same length and with the same lines."""

    def hide(character: str) -> Callable[[re.Match[str]], str]:
        return lambda match: re.sub(r"[^\n]", character, match[0])

    for pattern in (_CODE, _LINKS):
        text = pattern.sub(hide(_MASK), text)
    return _REFERENCE.sub(hide(" "), _TAGS.sub(hide(" "), text))


_READERS: dict[str, Callable[[Path, str], Iterator[Block]]] = {
    ".py": python_blocks,
    ".md": markdown_blocks,
    ".yaml": yaml_blocks,
    ".yml": yaml_blocks,
}


def _joined(path: Path, corpus: str, role: str, lines: Sequence[_Line]) -> Iterator[Block]:
    if any(_WORD.search(line.masked) for line in lines):
        text, masked = ("\n".join(parts) for parts in zip(*((line.text, line.masked) for line in lines), strict=True))
        yield Block(path, lines[0].number, corpus, role, text, masked)


def _banned_words(block: Block) -> Iterator[Violation]:
    flat = block.masked.replace("\n", " ")
    covered: list[range] = []
    for ban in BANS:
        for match in re.finditer(ban.pattern, flat, re.IGNORECASE):
            if not any(match.start() in span for span in covered):
                covered.append(range(match.start(), match.end()))
                yield _violation(block, match.start(), f"{match[0]} → {ban.instead}")
    for match in _CONDITION.finditer(flat):
        if not _LOCATION.search(flat[: match.start()]) and not _STORED.match(flat, match.start()):
            yield _violation(block, match.start(), f"{match[0]} → if, when")
    if block.role not in ("heading", "table"):
        for start, sentence in _all_sentences(flat):
            if re.match(r"\W*Of\b(?! course)", sentence):
                yield _violation(block, start, "sentence opens with Of → subject first")


def _all_sentences(flat: str) -> Iterator[tuple[int, str]]:
    start = 0
    for match in _SENTENCE_END.finditer(flat):
        yield start, flat[start : match.end()]
        start = match.end()
    yield start, flat[start:]


def _violation(block: Block, offset: int, rule: str) -> Violation:
    line = block.line + block.text[:offset].count("\n")
    flat = " ".join(block.text[max(offset - 30, 0) : offset + 70].split())
    return Violation(block.path, line, rule, flat)


def _docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for index, statement in enumerate(node.body):
            follows_assignment = index > 0 and isinstance(node.body[index - 1], ast.Assign | ast.AnnAssign)
            if (index == 0 or follows_assignment) and isinstance(statement, ast.Expr):
                value = statement.value
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield value


def _messages(path: Path, tree: ast.Module, docstrings: set[int]) -> Iterator[Block]:
    spoken = {id(node) for call in ast.walk(tree) if isinstance(call, ast.Call) for node in _spoken(call)}
    parts = {id(value) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for value in node.values}
    for node in ast.walk(tree):
        if id(node) in docstrings or id(node) in parts:
            continue
        text = _literal(node)
        if text is None or not re.search(r"[A-Za-z]\w* +\S", text):
            continue
        if id(node) in spoken or _is_sentence(text):
            yield from _message_blocks(path, node, text)


def _message_blocks(path: Path, node: ast.AST, text: str) -> Iterator[Block]:
    for paragraph in re.split(r"\n\s*\n", text):
        flat = paragraph.replace("\n", " ")
        yield Block(path, getattr(node, "lineno", 1), "messages", "paragraph", flat, mask(flat))


def _spoken(call: ast.Call) -> Iterator[ast.AST]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in _SPEAKING_CALLS or name.endswith(("Error", "Warning", "Exception")):
        yield from call.args
    yield from (keyword.value for keyword in call.keywords if keyword.arg in _SPOKEN_KEYWORDS)


def _literal(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(v.value if isinstance(v, ast.Constant) else _MASK for v in node.values)  # type: ignore[misc]
    return None


def _is_sentence(text: str) -> bool:
    looks_like_code = "\\" in text or "(?" in text or re.search(r"[{}=]\s*\w+|;\s*$|\w+:\s*\w+;", text)
    return len(re.findall(r"(?<![\w-])[A-Za-z]{2,}(?![\w=])", text)) >= 4 and not looks_like_code


def _comments(path: Path, text: str) -> Iterator[Block]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = [(t.start[0], t.string.lstrip("# ")) for t in tokens if t.type == tokenize.COMMENT]
    yield from _comment_runs(path, [(n, c) for n, c in comments if not c.startswith(("noqa", "type:", "pragma"))])


def _comment_runs(path: Path, comments: Sequence[tuple[int, str]]) -> Iterator[Block]:
    run: list[tuple[int, str]] = []
    for number, comment in [*comments, (-1, "")]:
        if run and number != run[-1][0] + 1:
            text = "\n".join(line for _, line in run)
            yield Block(path, run[0][0], "comments", "paragraph", text, mask(text))
            run = []
        run.append((number, comment))


def _relative(path: Path) -> Path:
    path = path.resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _per_1000(count: int, words: int) -> float:
    return 1000 * count / max(words, 1)


def _share(flags: Iterable[bool]) -> float:
    values = list(flags)
    return sum(values) / max(len(values), 1)


if __name__ == "__main__":
    sys.exit(main())
