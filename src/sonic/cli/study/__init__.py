"""``sonic study``: measure a deployment, fit it, simulate it, plan it. A file a verb."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

import typer

from sonic.cli._verbs import Verbs

study = typer.Typer(cls=Verbs, help="A deployment: measure it, fit it, simulate it, plan it.", no_args_is_help=True)

_ORDER = ("load", "scan", "plot", "fit", "simulate", "advise", "replay")

_verbs = [module.name for module in iter_modules(__path__) if not module.name.startswith("_")]
for _verb in sorted(_verbs, key=lambda verb: (_ORDER.index(verb) if verb in _ORDER else len(_ORDER), verb)):
    study.command(_verb)(getattr(import_module(f"{__name__}.{_verb}"), _verb))
