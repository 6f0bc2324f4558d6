"""Writes the table of values in the chart's README.md from the `# --` comments of values.yaml; `make chart` runs it.

`readme.py --check` only says whether the table is current (exit code 1 if not).
"""

import pathlib
import re
import sys

CHART = pathlib.Path(__file__).resolve().parents[2] / "charts" / "medtrain"
BEGIN, END = "<!-- values: written by `make chart` from values.yaml -->\n", "<!-- end of values -->\n"
FIELD = re.compile(r"^( *)([A-Za-z]\w*):(?: +(.*))?$")


def values(text):
    """(path, default, description) of every value. One without a description, or of several lines, is a ValueError."""
    path, description = [], []
    for number, line in enumerate(text.splitlines(), 1):
        comment = re.match(r"^ *# ?(.*)$", line)
        if comment:
            if comment[1].startswith("-- "):
                description = [comment[1][3:]]
            elif description:
                description.append(comment[1])
            continue
        field = FIELD.match(line)
        if field is None:
            if line.strip():
                raise ValueError(f"values.yaml:{number}: a value of several lines: write it on one, in flow style")
            description = []
            continue
        indent, name, default = len(field[1]) // 2, field[2], field[3]
        path = [*path[:indent], name]
        if default is None:
            description = []
            continue
        if not description:
            raise ValueError(f"values.yaml:{number}: {'.'.join(path)} has no comment that begins with `# --`")
        yield ".".join(path), default, " ".join(description)
        description = []


def table(text):
    rows = ["| value | default | |\n", "|---|---|---|\n"]
    for path, default, description in values(text):
        rows.append(f"| `{path}` | `{default}` | {description.replace('|', chr(92) + '|')} |\n")
    return "".join(rows)


def current(readme, text):
    """`readme` with the table that `text`, the content of values.yaml, asks for."""
    before, rest = readme.split(BEGIN)
    return before + BEGIN + "\n" + table(text) + "\n" + END + rest.split(END)[1]


def main():
    readme = CHART / "README.md"
    written = current(readme.read_text(), (CHART / "values.yaml").read_text())
    if written == readme.read_text():
        return 0
    if "--check" in sys.argv:
        print("charts/medtrain/README.md is older than values.yaml: run `make chart`", file=sys.stderr)
        return 1
    readme.write_text(written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
