"""MkDocs hooks: pages at the root of the repository join the site without a copy."""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
PAGES = {'README.md': 'index.md', 'CONTRIBUTING.md': 'contributing.md', 'CHANGELOG.md': 'changelog.md'}
MADE = {'gallery.md'}
LINK = re.compile(r'\]\(([^)#:\s]+)')
FILE_AS_TEXT = re.compile(r'\[[\w./-]+\.md\]\(([^)#:\s]+)')


def site_links(text: str, page: str) -> str:
    """Links as they are on the site, where the pages of the root lie beside those of docs.

    A link whose text is the name of a file gets the title of that page as its text.

    Args:
        text: Markdown of a page, with links for readers of the repository.
        page: Its path on the site, such as `index.md` or `protocols/finetune.md`.
    """
    from_root = next((name for name, place in PAGES.items() if place == page), f'docs/{page}')
    outside_code = re.split(r'(^```.*?^```)', text, flags=re.M | re.S)
    for part in range(0, len(outside_code), 2):
        titled = FILE_AS_TEXT.sub(lambda m: f'[{_title(m[1], from_root)}]({m[1]}', outside_code[part])
        outside_code[part] = LINK.sub(lambda m: f']({_on_site(m[1], from_root, page)}', titled)
    return ''.join(outside_code)


def _title(target: str, from_root: str) -> str:
    """First heading of a page; its path if there is no such page."""
    path = ROOT / posixpath.normpath(posixpath.join(posixpath.dirname(from_root), target))
    return path.read_text().partition('\n')[0].removeprefix('# ') if path.is_file() else target


def _on_site(target: str, from_root: str, page: str) -> str:
    """A link's target, relative to the page on the site."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(from_root), target))
    place = PAGES.get(path, path.removeprefix('docs/'))
    return posixpath.relpath(place, posixpath.dirname(page) or '.')


def on_config(config):
    """Leave pages out of the navigation that a command makes and that were not made here."""
    for group in (entry for entry in config['nav'] if isinstance(entry, dict)):
        for name, pages in group.items():
            if isinstance(pages, list):
                group[name] = [page for page in pages if not MADE & set(page.values()) or _is_made(page)]
    return config


def _is_made(page):
    return all((ROOT / 'docs' / path).is_file() for path in page.values())


def on_files(files, config):
    """Add the pages of the repository's root."""
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text()))
    return files


def on_page_markdown(markdown, page, config, files):
    """Rewrite links that are meant for readers of the repository."""
    return site_links(markdown, page.file.src_uri)
