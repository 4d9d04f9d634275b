"""The generated pages of the site: MkDocs loads this file as a hook, and griffe as an extension.

The pages of dialects and recipes come from their tables, equations and API from the docstrings, notebooks from their
stored outputs, and other pages from the files at the top of the repository. Equations become MathML when the site is
built, so that a browser needs no script and no network for them.
"""

import base64
import importlib
import inspect
import io
import json
import os
import posixpath
import re
import textwrap
import types
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import griffe
import jax.numpy as jnp
import numpy as np
import optax
from latex2mathml.converter import convert as mathml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import rmsprop_optax
from rmsprop_optax import dialects, plots, recipes

ROOT = Path(__file__).parents[1]

# Page of the site → file of the repository that it shows.
SHOWN = {
    "index.md": "README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": ".github/CONTRIBUTING.md",
    "license.md": "LICENSE",
    "citation.md": "CITATION.cff",
    "scale.md": "rmsprop_optax/demo/scale.py",
    "steps.md": "rmsprop_optax/demo/steps.py",
    **{f"benchmarks/{file.stem}.md": f"tests/benchmarks/{file.name}" for file in ROOT.glob("tests/benchmarks/*.md")},
    **{f"{file.stem}.md": f"notebooks/{file.name}" for file in sorted(ROOT.glob("notebooks/*.ipynb"))},
}
MODULES = (
    "rmsprop_optax",
    *(f"rmsprop_optax.{n}" for n in rmsprop_optax.__all__ if isinstance(getattr(rmsprop_optax, n), types.ModuleType)),
    *(f"rmsprop_optax.interop.{file.stem}" for file in sorted(ROOT.glob("rmsprop_optax/interop/[a-z]*.py"))),
)


# Equations


def words(tex: str) -> str:
    r"""Names of several letters as text: ``learning\_rate`` is one name and not a product of letters."""
    kept = r"\\(?:text|begin|end|quad|qquad|mathrm)\{[^}]*\}|\\[A-Za-z]+"
    return re.sub(
        rf"({kept})|((?:[A-Za-z]|\\_){{2,}}(?: [A-Za-z]{{2,}})*)",
        lambda m: (m[1] or rf"\text{{{m[2]}}}").replace(r"\_", "_"),
        tex,
    )


def equation(tex: str) -> str:
    r"""A display equation: lines end in ``\\``, and ``&`` is where they align."""
    lines = [line for line in re.split(r"\\\\(?![A-Za-z])", words(" ".join(tex.split()))) if line.strip()]
    cells = [[cell.strip() for cell in line.split("&")] for line in lines]
    columns = max(map(len, cells))
    rows = "".join(
        "<mtr>" + "".join(f"<mtd>{inner(cell)}</mtd>" for cell in [*row, *[""] * (columns - len(row))]) + "</mtr>"
        for row in cells
    )
    kind = "aligned" if columns > 1 else "lines"
    table = f'<mtable class="{kind}">{rows}</mtable>'
    return f'<div class="equation" data-search-exclude><math display="block">{table}</math></div>'


def of_text(block: str) -> str | None:
    """An equation as docstrings of dialects write it, ``v_t = a · v_{t-1} + √nu_t``, in TeX; ``None`` if it is code."""
    made = []
    for line in block.splitlines():
        tex = re.sub(r" {2,}", r" \\qquad ", line.strip())
        for sign, command in (("√", r"\sqrt"), ("^(", "^")):
            while sign in tex:
                before, _, after = tex.partition(sign)
                after = sign[1:] + after
                name = re.match(r"[A-Za-z]\w*(?:_\{[^}]*\})?|\d+", after)
                depths = np.cumsum([(c == "(") - (c == ")") for c in after])
                end = name.end() if name else int(np.argmax(depths == 0)) + 1
                of = name[0] if name else after[1 : end - 1]
                tex = f"{before}{command}{{{of}}}{after[end:]}"
        tex = re.sub(r"\d+e-\d+", r"\\text{\g<0>}", tex)
        tex = re.sub(r"[A-Za-z]+(?:_[A-Za-z]{2,})+", lambda name: name[0].replace("_", r"\_"), tex)
        tex = re.sub(r"(?<![\\A-Za-z])(max|min)\(", r"\\\1(", tex)
        for sign, command in SIGNS.items():
            tex = tex.replace(sign, command)
        made.append(
            re.sub(r" (=|\\leftarrow) ", r" &\1 ", tex, count=1) if "=" in tex or "arrow" in tex else f"& {tex}"
        )
    tex = r" \\ ".join(made)
    return None if re.search(r"[^\x00-\x7f]|[\[\]\"']|def |import ", tex) or "&" not in tex else tex


SIGNS = {
    "·": r"\cdot ",
    "←": r"\leftarrow ",
    "±": r"\pm ",
    "²": "^2",
    "−": "-",
    "≥": r"\ge ",
    "≤": r"\le ",
    "∞": r"\infty ",
}


def inner(tex: str) -> str:
    """The elements of a formula, without the ``math`` around them."""
    if not tex:
        return ""
    made = re.fullmatch(r"<math[^>]*>(.*)</math>", mathml(rf"\displaystyle {tex}"), re.DOTALL)
    assert made, tex
    # A slanted letter of the text's font: not every system has a font with mathematical letters.
    return re.sub(r"<mi>([A-Za-z])</mi>", r'<mi mathvariant="normal" class="letter">\1</mi>', made[1])


def inline(markdown: str) -> str:
    """The formulas of a text between dollar signs, outside code."""
    parts = re.split(r"(^```.*?^```|`[^`\n]*`)", markdown, flags=re.DOTALL | re.MULTILINE)
    return "".join(
        part if i % 2 else re.sub(r"(?<![\\$\w])\$([^$\n]+)\$", lambda m: said(f"<math>{inner(m[1])}</math>"), part)
        for i, part in enumerate(parts)
    )


def said(math: str) -> str:
    """A formula with signs that only the text of a search shows: without them 1/√ν reads 1/ν there, and 10^4 104."""
    formula = ElementTree.fromstring(math)
    for element in [*formula.iter()]:
        if element.tag == "msqrt":
            element.insert(0, _hidden("√("))
            element.append(_hidden(")"))
        elif sign := {"msup": "^", "msubsup": "^", "mfrac": "/"}.get(element.tag):
            row = ElementTree.Element("mrow")
            row.extend([_hidden(sign), element[-1]])
            element[-1] = row
    return ElementTree.tostring(formula, encoding="unicode").replace("*", "&#42;")  # which is emphasis in Markdown


def _hidden(sign: str) -> ElementTree.Element:
    element = ElementTree.Element("mtext", {"class": "said"})
    element.text = sign
    return element


# Docstrings


def public() -> dict[str, tuple[str, ...]]:
    """Module → its public names except modules."""
    found = {}
    for module in MODULES:
        loaded = importlib.import_module(module)
        own = [n for n, x in vars(loaded).items() if n[0] != "_" and getattr(x, "__module__", None) == module]
        names = sorted(
            getattr(loaded, "__all__", own), key=lambda n: (isinstance(getattr(loaded, n), type), n != "rmsprop")
        )
        if module == "rmsprop_optax.dialects":
            names += dialects.TABLE
        found[module] = tuple(n for n in names if not isinstance(getattr(loaded, n), types.ModuleType))
    return found


def _named(place: str) -> Any:
    module, _, name = place.rpartition(".")
    return getattr(importlib.import_module(module), name)


PUBLIC = public()
PLACES = {f"{module}.{name}": f"{module}.{name}" for module, names in PUBLIC.items() for name in names}
PLACES |= {place.rpartition(".")[2]: place for place in reversed(PLACES)} | PLACES
for _place in PLACES.copy().values():  # where an object is defined → where it is shown
    _object = _named(_place)
    PLACES.setdefault(f"{getattr(_object, '__module__', '')}.{getattr(_object, '__name__', '')}", _place)


def reference(match: re.Match[str], module: str) -> str:
    """A role of Sphinx as a link, if the site shows its object; names of the same module come first."""
    kind, target = match[1], match[2].lstrip("~")
    target = f"{module}.{target}" if f"{module}.{target}" in PLACES else target
    name = target.removeprefix("rmsprop_optax.") if kind == "mod" else target.rpartition(".")[2]
    if target in MODULES:
        return f'<a href="../{api(target).removesuffix(".md")}.html"><code>{name}</code></a>'  # all are one folder down
    return f"[`{name}`][{PLACES[target]}]" if target in PLACES else f"`{target}`"


def markdown(docstring: str, module: str) -> str:
    """A docstring's equations, roles, tables and blocks of code as Markdown."""
    lines, made, i = docstring.split("\n"), [], 0
    while i < len(lines):
        line = lines[i]
        if line.strip() == ".. math::" or (line.rstrip().endswith("::") and not line.strip().startswith(">>>")):
            indent = len(line) - len(line.lstrip())
            end = i + 1
            while end < len(lines) and (not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) > indent):
                end += 1
            block = textwrap.dedent("\n".join(lines[i + 1 : end])).strip("\n")
            pad = " " * indent
            if line.strip() == ".. math::":
                made += ["", pad + equation(block), ""]
            elif ".dialects" in module and (tex := of_text(block)):
                made += [re.sub(r"::$", ":", line.rstrip()), "", pad + equation(tex), ""]
            else:
                shown = ["", "```python", *block.split("\n"), "```", ""]
                made += [line.rstrip()[:-1], *(pad + text for text in shown)]
            i = end
            continue
        if re.fullmatch(r"=+( =+)+", line.strip()):
            end = max(j for j in range(i, len(lines)) if re.fullmatch(r"=+( =+)+", lines[j].strip()))
            made += ["", *grid([text.strip() for text in lines[i : end + 1]]), ""]
            i = end + 1
            continue
        made.append(line)
        i += 1
    text = re.sub(r"(?<!`)``(?!`)", "`", "\n".join(made))
    text = re.sub(r"^( *)Example:$", r"\1Examples:", text, flags=re.MULTILINE)  # griffe's word
    return re.sub(r":(\w+):`([^`]+)`", lambda match: reference(match, module), text)


def grid(lines: list[str]) -> list[str]:
    """A simple table of reStructuredText as one of Markdown."""
    starts = [m.start() for m in re.finditer(r"=+", lines[0])]
    rows = [line for line in lines if not set(line) <= {"=", " "}]
    ruled = sum(set(line) <= {"=", " "} for line in lines) > 2
    cells = [
        [row[a:b].strip().replace("|", "\\|") for a, b in zip(starts, [*starts[1:], None], strict=True)] for row in rows
    ]
    head = cells.pop(0) if ruled else [""] * len(starts)
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(starts), *cells)]


class Docstrings(griffe.Extension):
    """Docstrings are written for a terminal and an editor; the site shows their equations and links."""

    def on_object(self, *, obj: griffe.Object, loader: Any, **kwargs: Any) -> None:
        """Rewrite a docstring."""
        del loader, kwargs
        if obj.docstring and obj.path.startswith("rmsprop_optax"):
            place = PLACES.get(obj.path)  # a decorator may complete a docstring, which the source does not show
            shown = inspect.getdoc(_named(place)) if place and isinstance(obj, griffe.Function) else None
            text = markdown(shown or obj.docstring.value, obj.module.path)
            if isinstance(obj, griffe.Function) and obj.returns is not None:
                # Without a type before it, griffe takes the words before the first colon for one.
                text = re.sub(r"^Returns:\n +", lambda match: f"{match[0]}{obj.returns}: ", text, flags=re.MULTILINE)
            obj.docstring.value = text


# Pages


def shown(page: str, file: str) -> dict[str, str | bytes]:
    """The page that shows a file, and its pictures."""
    source = (ROOT / file).read_text(encoding="utf-8")
    if file.endswith(".ipynb"):
        return notebook(page, json.loads(source))
    if file.endswith(".md"):
        return {page: source if source.startswith("#") else f"# {Path(file).stem.capitalize()}\n\n{source}"}
    kind = {".py": "python", ".cff": "yaml"}.get(Path(file).suffix, "text")
    return {page: f"# {Path(file).name}\n\n```{kind}\n{source}```\n"}


def notebook(page: str, cells: dict[str, Any]) -> dict[str, str | bytes]:
    """A notebook with its stored outputs."""
    made, pictures = [], {}
    for cell in cells["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            made.append(inline(source))
            continue
        made.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                name = f"{page.removesuffix('.md')}/{len(pictures)}.png"
                pictures[name] = base64.b64decode("".join(data["image/png"]))
                made.append(f"![Figure of the cell above]({name}){{ .figure }}")
            else:
                text = "".join(output.get("text", data.get("text/plain", "")))
                made.append(f"``` {{ .text .output }}\n{text.rstrip()}\n```")
    return {page: "\n\n".join(made) + "\n"} | pictures


def facts(rows: dict[str, str]) -> str:
    """A table of two columns."""
    return "\n".join(["| fact | |", "| --- | --- |", *(f"| {name} | {text} |" for name, text in rows.items() if text)])


def described(name: str, place: str) -> str:
    """The beginning of a page about one object: its name, signature and docstring."""
    return f"---\ntitle: {name}\n---\n\n::: {place}\n    options:\n      heading_level: 1\n"


def call(constructor: Any) -> str:
    """The body of a constructor, without its docstring."""
    code = inspect.getsource(inspect.unwrap(constructor))
    quotes = [m.end() for m in re.finditer('"""', code)]
    return textwrap.dedent(code[quotes[1] :]).strip("\n")


def defaults(constructor: Any) -> str:
    parameters = inspect.signature(constructor).parameters.values()
    return ", ".join(f"`{p.name}={p.default!r}`" if p.default is not p.empty else f"`{p.name}`" for p in parameters)


def rule(row: dialects.Dialect) -> tuple[Any, ...]:
    """The facts that make a rule; names and defaults do not count."""
    averages = row.starts_from(), row.centered, row.bias_correction
    momentum = row.buffer, row.lr_in_momentum, row.nesterov, row.smooths
    return row.divisors(), averages, momentum, row.decays, row.note


def path(name: str) -> np.ndarray:
    """60 steps down a ravine whose second weight has gradients 20 times as large."""
    row = dialects.TABLE[name]
    options: dict[str, Any] = {row.arguments.learning_rate: 0.05}
    tx, weights = row.constructor(**options), jnp.array([-2.0, 1.0])
    state, passed = tx.init(weights), [weights]
    for _ in range(60):
        updates, state = tx.update(jnp.array([1.0, 20.0]) * weights, state, weights)
        weights = optax.apply_updates(weights, updates)
        passed.append(weights)
    return np.array(passed)


def picture(name: str, beside: np.ndarray) -> bytes:
    """The path of a dialect beside optax's path."""
    figure = plots.trajectories(
        {name: path(name)} | ({} if name == "optax" else {"optax": beside}),
        lambda x, y: (x**2 + 20 * y**2) / 2,
        title=f"{name}: 60 steps at a learning rate of 0.05, other options at their defaults",
        limits=((-2.6, 1.2), (-1.4, 1.4)),
    )
    file = io.BytesIO()
    figure.savefig(file, dpi=100)
    return file.getvalue()


def dialect_pages() -> dict[str, str | bytes]:
    """A page for each dialect."""
    made: dict[str, str | bytes] = {}
    aliases: dict[str, list[str]] = {}
    for alias, meant in dialects.ALIASES.items():
        aliases.setdefault(meant.dialect, []).append(f"`{alias}`")
    rules = {name: rule(row) for name, row in dialects.TABLE.items()}
    beside = path("optax")
    for name, row in dialects.TABLE.items():
        same = [f"[`{other}`]({other}.md)" for other in rules if other != name and rules[other] == rules[name]]
        used = [f"[`{r}`](../recipes/{r}.md)" for r, recipe in recipes.TABLE.items() if recipe.dialect == name]
        table = facts(
            {
                "divides by": row.denominator,
                "mean square starts from": row.start,
                "momentum": re.sub("(before|after)", r"learning rate \1 the buffer", row.momentum),
                "weight decay": row.weight_decay,
                "centered": row.centered,
                "bias correction": row.bias_correction,
                "note": row.note,
                "same facts, other names and defaults": ", ".join(same),
                "other names": ", ".join(aliases.get(name, ())),
                "recipes": ", ".join(used),
                "arguments": defaults(row.constructor).replace("|", "\\|"),
                "source": row.source,
            }
        )
        made[f"dialects/{name}.md"] = (
            f"{described(name, f'rmsprop_optax.dialects.{name}')}\n## Facts\n\n{table}\n\n## Definition\n\n"
            f"```python\n{call(row.constructor)}\n```\n\n## Path\n\n![The path of {name} down a ravine, beside optax's]"
            f"({name}.png){{ .figure }}\n"
        )
        made[f"dialects/{name}.png"] = picture(name, beside)
    return made


def recipe_pages() -> dict[str, str | bytes]:
    """A page for each recipe."""
    return {
        f"recipes/{name}.md": (
            f"{described(name, f'rmsprop_optax.recipes.{name}')}\n## Facts\n\n"
            + facts(
                {
                    "settings": row.settings,
                    "dialect": f"[`{row.dialect}`](../dialects/{row.dialect}.md)",
                    "arguments": defaults(row.constructor).replace("|", "\\|"),
                    "source": row.source,
                }
            )
            + f"\n\n## Definition\n\n```python\n{call(row.constructor)}\n```\n"
        )
        for name, row in recipes.TABLE.items()
    }


def api_pages() -> dict[str, str | bytes]:
    """A page for each public module."""
    made: dict[str, str | bytes] = {}
    elsewhere = {f"rmsprop_optax.dialects.{n}" for n in dialects.TABLE}
    elsewhere |= {f"rmsprop_optax.recipes.{n}" for n in recipes.TABLE}
    seen: set[int] = set()
    for module, names in PUBLIC.items():
        loaded = importlib.import_module(module)
        title = f"---\ntitle: {module.removeprefix('rmsprop_optax.')}\n---\n\n"
        about = markdown(inspect.getdoc(loaded) or "", module)
        about = re.sub(r"((?:^ *(?:>>>|\.\.\.) .*\n?(?:^ *\S.*\n?)*)+)", pycon, about, flags=re.MULTILINE)
        parts = [f"{title}# {module} {{ #{module} }}", about.replace("Examples:\n", "")]
        for name in names:
            of, place = getattr(loaded, name), f"{module}.{name}"
            if place in elsewhere:
                continue
            if id(of) in seen:
                parts.append(f"## {name}\n\nThe same as [`{name}`][{PLACES[name]}].")
                continue
            if isinstance(of, int | float | str | tuple):  # griffe misses some of these
                parts.append(f"## {name}\n\n`{of!r}`")
                continue
            seen |= {id(of)} if callable(of) else set()
            parts.append(f"::: {place}")
        for folder, table in (("dialects", dialects.TABLE), ("recipes", recipes.TABLE)):
            if module.endswith(f".{folder}"):
                links = ", ".join(f"[`{name}`](../{folder}/{name}.md)" for name in table)
                parts.append(f"## All {folder}\n\n{links}")
        made[api(module)] = "\n\n".join(parts) + "\n"
    return made


def pycon(match: re.Match[str]) -> str:
    """An example in a module's docstring outside any section."""
    return f"\n```pycon\n{textwrap.dedent(match[1]).rstrip()}\n```\n"


def api(module: str) -> str:
    return f"api/{module.removeprefix('rmsprop_optax.')}.md"


def llms(config: MkDocsConfig) -> str:
    """The site for a reader that is a program: https://llmstxt.org."""
    pages = {**PAGES, **{f"guide/{f.name}": f.read_text() for f in sorted(ROOT.glob("notebooks/guide/*.md"))}}
    pages |= {f.name: f.read_text() for f in sorted(ROOT.glob("notebooks/*.md"))}
    lines = ["# rmsprop_optax", "", f"> {config.site_description}", ""]
    for title, beginning in (("Guide", "guide/"), ("Dialects", "dialects/"), ("Recipes", "recipes/"), ("API", "api/")):
        lines += [f"## {title}", ""]
        for page, text in pages.items():
            if page.startswith(beginning) and isinstance(text, str):
                name = re.search(r"^(?:# |title: )([^{\n]*)", text, re.MULTILINE)[1].strip()  # type: ignore[index]
                lines.append(f"- [{name}]({page.removesuffix('.md')}.html)")
        lines.append("")
    return "\n".join(lines)


PAGES: dict[str, str | bytes] = {}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Make the pages, and name them in the navigation."""
    PAGES.clear()
    for page, file in SHOWN.items():
        PAGES.update(shown(page, file))
    PAGES.update(dialect_pages() | recipe_pages() | api_pages())
    PAGES["llms.txt"] = llms(config)
    sections = {title: pages for entry in config.nav or [] for title, pages in entry.items()}
    for section, folder in (
        ("Dialects", "dialects"),
        ("Recipes", "recipes"),
        ("API", "api"),
        ("Benchmarks", "benchmarks"),
    ):
        sections[section] += [page for page in PAGES if page.startswith(f"{folder}/") and page.endswith(".md")]
    sections["Notebooks"] += [page for page, file in SHOWN.items() if file.endswith(".ipynb")]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and their pictures."""
    for name, content in PAGES.items():
        files.append(File.generated(config, name, content=content))
    for file in ROOT.glob("tests/benchmarks/*.png"):
        files.append(File.generated(config, f"benchmarks/{file.name}", abs_src_path=str(file)))
    return files


def places() -> dict[str, str]:
    """File of the repository → page of the site."""
    found = {file: page for page, file in SHOWN.items()}
    for module in MODULES:
        name = module.replace(".", "/")
        found |= {f"{name}.py": api(module), f"{name}/__init__.py": api(module)}
    own = (file for pattern in ("*.md", "guide/*.md", "data/*.png") for file in ROOT.glob(f"notebooks/{pattern}"))
    found |= {str(file.relative_to(ROOT)): str(file.relative_to(ROOT / "notebooks")) for file in own}
    pictures = ROOT.glob("tests/benchmarks/*.png")
    return found | {str(file.relative_to(ROOT)): f"benchmarks/{file.name}" for file in pictures}


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links between files of the repository become links between pages."""
    del config, files
    here = page.file.src_uri
    origin, known = SHOWN.get(here, f"notebooks/{here}"), places()

    def link(match: re.Match[str]) -> str:
        target, hash_, anchor = match[1].partition("#")
        found = known.get(posixpath.normpath(posixpath.join(posixpath.dirname(origin), target)))
        return f"]({posixpath.relpath(found, posixpath.dirname(here) or '.')}{hash_}{anchor})" if found else match[0]

    markdown = re.sub(r"\]\(([^)\s]+)\)", link, markdown)
    if here in ("dialects.md", "recipes.md"):  # names in the first column lead to their pages; wide tables get the room
        page.meta["hide"] = ["toc"]
        folder = here.removesuffix(".md")
        markdown = re.sub(
            r"^\| `(\w+)(.*?)` \|",
            lambda m: f"| [`{m[1]}{m[2]}`]({folder}/{m[1]}.md) |" if f"{folder}/{m[1]}.md" in PAGES else m[0],
            markdown,
            flags=re.MULTILINE,
        )
    return markdown
