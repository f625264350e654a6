"""Packages the trainer (`sigma`), the benchmark (`eval`), the configs that both read, and the tools."""

from pathlib import Path

from setuptools import find_namespace_packages, setup

HERE = Path(__file__).parent


def requirements(name: str) -> list[str]:
    """Read the pins of a file under requirements/, without comments."""
    lines = (HERE / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line.split('#')[0].strip() for line in lines if line.split('#')[0].strip()]


version = next(line for line in (HERE / 'sigma' / '__init__.py').read_text().splitlines() if '__version__' in line)

setup(
    name='sigma-video',
    version=version.split("'")[1],
    description='Sinkhorn-guided masked video modelling, and a benchmark for any video encoder',
    long_description=(HERE / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10,<3.13',
    packages=find_namespace_packages(include=['sigma*', 'eval*', 'mmaction_configs*', 'tools*']),
    package_data={
        'tools': ['*.sh'],
        'mmaction_configs': ['annotations/*', 'annotations/*/*'],
        'sigma': ['py.typed'],
        'eval.report': ['page/*.j2', 'page/*.css', 'page/*.js', '*/*.json'],  # the page, numbers from papers
    },
    entry_points={
        'console_scripts': [
            'sigma-train = tools.train:main',
            'sigma-severe = eval.run_severe:guarded',
            'sigma-prepare = tools.prepare:main',
            'sigma-plot = tools.plot:guarded',
            'sigma-table = tools.table:guarded',
            'sigma-report = tools.report:guarded',
            'sigma-records = tools.records:guarded',
        ]
    },
    install_requires=requirements('runtime'),
    extras_require={name: requirements(name) for name in ('tests', 'docs', 'optional', 'trackers')},
)
