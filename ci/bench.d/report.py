"""What a part found, and how it reads on the terminal and in Markdown."""

from dataclasses import dataclass, field


@dataclass
class Table:
    header: list
    rows: list = field(default_factory=list)
    caption: str = ""


@dataclass(frozen=True)
class MustHave:
    what: str
    measured: str
    limit: str
    met: bool

    @property
    def outcome(self):
        return "ok" if self.met else "MISSED"


@dataclass
class PartResult:
    title: str
    tables: list = field(default_factory=list)
    must_haves: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    commands: list = field(default_factory=list)
    skipped: str = ""  # why it could not be run here
    error: str = ""  # why it has no, or no complete, result

    @property
    def complete(self):
        return not self.skipped and not self.error

    def remarks(self):
        return [
            *([f"skipped: {self.skipped}"] if self.skipped else []),
            *([f"failed: {self.error}"] if self.error else []),
            *self.notes,
        ]

    def all_tables(self):
        return [*self.tables, *([_must_have_table(self.must_haves)] if self.must_haves else [])]


def _must_have_table(must_haves):
    rows = [[m.what, m.measured, m.limit, m.outcome] for m in must_haves]
    return Table(["must have", "measured", "limit", ""], rows)


def as_text(name, part):
    blocks = [f"{name}: {part.title}"]
    blocks += [_text_table(table) for table in part.all_tables()]
    blocks += [f"  {remark}" for remark in part.remarks()]
    return "\n".join(blocks) + "\n"


def as_markdown(environment, parts, legend):
    """The whole of RESULTS.md; `environment` and `legend` are lists of lines."""
    blocks = ["# Benchmark results", "Written by `ci/bench`; every run replaces the whole file."]
    blocks.append("\n".join(f"- {line}" for line in environment))
    summary = [
        [name, m.what, m.measured, m.limit, m.outcome] for name, part in parts.items() for m in part.must_haves
    ]
    blocks += ["## Must-haves", _markdown_table(Table(["part", "must have", "measured", "limit", ""], summary))]
    for name, part in parts.items():
        blocks.append(f"## `{name}`: {part.title}")
        blocks += [_markdown_table(table) for table in part.tables]
        blocks.append("\n".join(f"- {remark}" for remark in part.remarks()))
        if part.commands:
            blocks.append("\n".join(["```", *part.commands, "```"]))
    blocks += ["## How to read this", "\n".join(f"- {line}" for line in legend)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _text_table(table):
    lines = [[str(cell) for cell in line] for line in [table.header, *table.rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.header))]
    aligned = ["  " + "  ".join(_align(cell, widths[i], i) for i, cell in enumerate(line)).rstrip() for line in lines]
    return "\n".join([*([f"  {table.caption}:"] if table.caption else []), *aligned])


def _align(cell, width, column):
    is_figure = column > 0 and cell[:1].isdigit()
    return cell.rjust(width) if is_figure else cell.ljust(width)


def _markdown_table(table):
    lines = [table.header, ["---"] * len(table.header), *table.rows]
    body = "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"{table.caption}:\n\n{body}" if table.caption else body
