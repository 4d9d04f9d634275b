"""What the modules beside share."""

import importlib.machinery
import itertools
import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np

MOMENTUM, CENTERED, DECAY = {"momentum": 0.75}, {"centered": True}, {"weight_decay": 2.0**-7}


def product(*axes):
    """All combinations of one dict from each axis, merged."""
    return [{k: v for part in parts for k, v in part.items()} for parts in itertools.product(*axes)]


def lone(module):
    """A module of a package without all that the package imports."""
    path = None
    for parent in itertools.accumulate(module.split(".")[:-1], "{}.{}".format):
        path = importlib.machinery.PathFinder.find_spec(parent, path).submodule_search_locations
        sys.modules[parent] = types.ModuleType(parent)
        sys.modules[parent].__path__ = path
    return importlib.import_module(module)


def named(params, values):
    return dict(zip(params, values, strict=True)) if values else {}


def whole(params, entries):
    """Arrays shaped like the parameters from all their entries in a row."""
    parts = np.split(entries, np.cumsum([p.size for p in params.values()])[:-1])
    return {name: part.reshape(p.shape) for part, (name, p) in zip(parts, params.items(), strict=True)}


def node(script, params, steps, options):
    """What a script beside returns: the versions, and after every step the trees that the framework keeps."""
    given = json.dumps({"params": params, "steps": steps, "options": options}, default=lambda array: array.tolist())
    command = ["node", str(Path(__file__).with_name(script))]
    result = json.loads(subprocess.run(command, input=given, stdout=subprocess.PIPE, check=True, text=True).stdout)
    return result["about"], result["found"]
