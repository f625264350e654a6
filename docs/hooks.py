"""MkDocs hooks: pages at the root of the repository join the site without a copy."""

import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
PAGES = {'README.md': 'index.md', 'CONTRIBUTING.md': 'contributing.md', 'CHANGELOG.md': 'changelog.md'}
LINK = re.compile(r'\]\((?:\.\./)?(docs/)?([^)#:\s]+)')


def site_links(text: str) -> str:
    """Links as they are on the site: everything is one folder, and the root's pages have names of their own."""
    outside_code = re.split(r'(^```.*?^```)', text, flags=re.M | re.S)
    for part in range(0, len(outside_code), 2):
        outside_code[part] = LINK.sub(lambda m: f']({PAGES.get(m[2], m[2])}', outside_code[part])
    return ''.join(outside_code)


def on_files(files, config):
    """Add the pages of the repository's root."""
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text()))
    return files


def on_page_markdown(markdown, page, config, files):
    """Rewrite links that are meant for readers of the repository."""
    return site_links(markdown)
