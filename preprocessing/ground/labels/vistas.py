"""Mapillary Vistas' config.json (v1.2) and config_v2.0.json as label sets: the place in `labels` is the id in files."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

# By the beginnings of Vistas' names, the longest that fits: Cityscapes' class, and its category. Markings lie on the
# road, kerbs are sidewalk; backs and sides of signs are no signs, as in Cityscapes.
_CITYSCAPES: dict[str, tuple[str, str]] = {
    "construction--barrier--curb": ("sidewalk", "flat"),
    "construction--barrier--fence": ("fence", "construction"),
    "construction--barrier--wall": ("wall", "construction"),
    "construction--flat--crosswalk-plain": ("road", "flat"),
    "construction--flat--road": ("road", "flat"),
    "construction--flat--sidewalk": ("sidewalk", "flat"),
    "construction--structure--building": ("building", "construction"),
    "human--person": ("person", "human"),
    "human--rider": ("rider", "human"),
    "marking": ("road", "flat"),
    "nature--sky": ("sky", "sky"),
    "nature--terrain": ("terrain", "nature"),
    "nature--vegetation": ("vegetation", "nature"),
    "object--support--pole": ("pole", "object"),
    "object--traffic-light": ("traffic light", "object"),
    "object--traffic-sign--front": ("traffic sign", "object"),
    "object--traffic-sign--direction-front": ("traffic sign", "object"),
    "object--vehicle--bicycle": ("bicycle", "vehicle"),
    "object--vehicle--bus": ("bus", "vehicle"),
    "object--vehicle--car": ("car", "vehicle"),
    "object--vehicle--motorcycle": ("motorcycle", "vehicle"),
    "object--vehicle--on-rails": ("train", "vehicle"),
    "object--vehicle--truck": ("truck", "vehicle"),
}
_EGO = ("void--ego-vehicle", "void--car-mount")
_SKY = "nature--sky"


def vistas_set(text: str) -> dict[str, Any] | None:
    """A config of Mapillary Vistas in the keys of a label set's file; None where the text is none."""
    try:
        content = json.loads(text)
    except ValueError:
        return None
    entries = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(_is_entry(one) for one in entries) or not entries:
        return None
    readable = [str(one.get("readable", one["name"])).lower() for one in entries]
    names = [short if readable.count(short) == 1 else one["name"] for short, one in zip(readable, entries, strict=True)]
    # Some classes share a colour (a car and a group of vehicles): the first has it, and files hold ids.
    colours = [tuple(one["color"]) for one in entries]
    classes = []
    for place, (name, one) in enumerate(zip(names, entries, strict=True)):
        if not one.get("evaluate", True):
            continue
        own = {"colour": list(colours[place])} if colours.index(colours[place]) == place else {}
        group = " ".join(one["name"].split("--")[:2])
        classes.append({"name": name, "ids": [place], "group": group, **own, **_also(one["name"])})
    ignored = [place for place, one in enumerate(entries) if not one.get("evaluate", True)]
    ego = [place for place, one in enumerate(entries) if one["name"] in _EGO]
    return {"classes": classes, "ignore": {"ids": ignored}, "ego": {"ids": ego}}


def _is_entry(one: Any) -> bool:
    if not isinstance(one, Mapping) or not isinstance(one.get("name"), str):
        return False
    colour = one.get("color")
    return isinstance(colour, Sequence) and len(colour) == 3


def _also(name: str) -> dict[str, Any]:
    """What other sets call a class, and whether it is the sky."""
    known = [one for one in _CITYSCAPES if name == one or name.startswith(f"{one}--")]
    sky = {"sky": True} if name == _SKY else {}
    if not known:
        return sky
    city, category = _CITYSCAPES[max(known, key=len)]
    return {"also": {"cityscapes19": city, "categories7": category}, **sky}
