"""ClickHouse's configuration as the server reads it: the main file, then what lies beside it, merged in its order.

Made after ClickHouse/ClickHouse src/Common/Config/ConfigProcessor.cpp at 7fcabc52 (26.x): `getConfigMergeFiles`,
`mergeRecursive`, `doIncludesRecursive`. Includes from other files and from ZooKeeper are refused: we use none.
"""

import copy
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

SUBSTITUTIONS = ("incl", "from_zk", "from_env")
_NOT_IDENTITY = {"replace", "remove", *SUBSTITUTIONS}


class ConfigurationError(Exception):
    """What keeps the server from reading its configuration; the text says which file."""


def files(main: Path) -> list[Path]:
    """The main file, then those of `<name>.d` and `conf.d` beside it, in the order of their paths."""
    folders = {main.with_suffix(".d"), main.with_name("conf.d")}
    found = [each for folder in folders if folder.is_dir() for each in folder.iterdir() if each.is_file()]
    merged = [each for each in found if each.suffix.lower() in (".xml", ".conf", ".yaml", ".yml")]
    return [main, *sorted((each for each in merged if not each.stem.startswith(".")), key=str)]


def load(main: Path, environ: Mapping[str, str]) -> ET.Element:
    """The merged configuration with the variables of `environ` in it. Raises ConfigurationError."""
    first, *others = files(main)
    root = _parse(first)
    for path in others:
        _merge(root, _parse(path), path)
    _fill_in(root, environ)
    return root


def _parse(path: Path) -> ET.Element:
    if path.suffix.lower() in (".yaml", ".yml"):
        raise ConfigurationError(f"{path}: this stand-in reads no YAML")
    try:
        root = ET.parse(path).getroot()
    except (ET.ParseError, OSError) as error:
        raise ConfigurationError(f"Failed to merge config with '{path}': {error}") from None
    if root.tag not in ("clickhouse", "yandex"):
        raise ConfigurationError(f"Failed to merge config with '{path}': the root element is <{root.tag}>")
    return root


def _identity(element: ET.Element) -> tuple[str, ...]:
    attributes = sorted((name, value) for name, value in element.attrib.items() if name not in _NOT_IDENTITY)
    return (element.tag, *(part for pair in attributes for part in pair))


def _merge(target: ET.Element, source: ET.Element, path: Path) -> None:
    """Bring `source` into `target`: what has the same name and attributes is merged, each only once."""
    target.text = source.text
    free = list(target)
    for element in source:
        remove, replace = "remove" in element.attrib, "replace" in element.attrib
        if remove and replace:
            raise ConfigurationError(f"{path}: both remove and replace attributes set for element <{element.tag}>")
        old = next((each for each in free if _identity(each) == _identity(element)), None)
        if old is None:
            if not remove:
                target.append(_pasted(element))
            continue
        free.remove(old)
        if remove:
            target.remove(old)
        elif replace:
            target[list(target).index(old)] = copy.deepcopy(element)
        else:
            if len(element) or element.text:
                for name in SUBSTITUTIONS:
                    old.attrib.pop(name, None)
            old.attrib.update(element.attrib)
            _merge(old, element, path)


def _pasted(element: ET.Element) -> ET.Element:
    """A copy without the children that are marked for removal."""
    pasted = copy.deepcopy(element)
    for parent in pasted.iter():
        for child in [each for each in parent if "remove" in each.attrib]:
            parent.remove(child)
        for child in parent:
            child.attrib.pop("replace", None)
    return pasted


def _fill_in(root: ET.Element, environ: Mapping[str, str]) -> None:
    """Put variables where `from_env` asks for them. One that is not set leaves the element empty, with a warning."""
    for element in root.iter():
        if {"incl", "from_zk"} & set(element.attrib):
            raise ConfigurationError(f"<{element.tag}>: this stand-in reads neither incl nor from_zk")
        if name := element.attrib.get("from_env"):
            if name in environ:
                del element.attrib["from_env"]
                element.text = (element.text or "").strip() + environ[name]
            else:
                print(f"<Warning> ConfigProcessor: Env variable is not set: {name}", file=sys.stderr, flush=True)
