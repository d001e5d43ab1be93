"""What commands write beside the model: a card for people, JSON that keeps to its schemas."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from command_line import advmtl
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from street_set import write_cityscapes
from tiny_run import CPU, make_config, quiet

from advmtl.training.fitting import fit
from export.card import Card, FileFacts, card_path, write_card
from export.card.card import UNTOLD
from export.convert.parity import Difference, ParityReport
from export.graph.metadata import RESIZE, Metadata, to_json
from export.stream.report import StreamReport
from preprocessing.ground import write_json

ROOT = Path(__file__).parents[2]
SCHEMAS = {path.name: json.loads(path.read_text()) for path in sorted((ROOT / "docs" / "schemas").glob("*.json"))}
REGISTRY: Registry[Any] = Registry().with_resources(
    [(name, Resource.from_contents(schema)) for name, schema in SCHEMAS.items()]
)


def check(values: Any, name: str) -> None:
    """Raises: ValidationError where the values do not keep to the schema."""
    Draft202012Validator(SCHEMAS[f"{name}.schema.json"], registry=REGISTRY).validate(values)


def undescribed(values: Any, schema: dict[str, Any]) -> list[str]:
    """Keys of an object, and of those in it, that the schema does not name."""
    if "anyOf" in schema:
        return min((undescribed(values, one) for one in schema["anyOf"]), key=len)
    if "$ref" in schema:
        schema = SCHEMAS[schema["$ref"]]
    if not isinstance(values, dict) or "properties" not in schema:
        return []
    known = schema["properties"]
    inner = [f"{key}.{one}" for key in values if key in known for one in undescribed(values[key], known[key])]
    return [key for key in values if key not in known] + inner


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of seconds, exported to runs/tiny/model.onnx, and run on its validation pictures."""
    root = tmp_path_factory.mktemp("exported")
    streets, run = root / "streets", root / "tiny"
    for split, count in (("train", 6), ("val", 3)):
        write_cityscapes(streets, split, count)
    fit(make_config(streets, critic=False), run, CPU, quiet())
    result = advmtl("export", run)
    assert result.exit_code == 0, result.output
    assert f"model card: {run / 'model_card.md'}" in result.output
    pictures = streets / "leftImg8bit" / "val"
    result = advmtl(
        *("infer", run / "model.onnx", pictures, "--log", root / "log.jsonl", "--report", root / "report.json"),
        *("--arrays", root / "arrays", "--fx-px", 190),
    )
    assert result.exit_code == 0, result.output
    return run


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_schemas(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])


def test_what_commands_write_keeps_to_its_schema_and_every_key_is_described(exported: Path) -> None:
    report = json.loads((exported / "model.json").read_text())
    lines = [json.loads(line) for line in (exported.parent / "log.jsonl").read_text().splitlines()]
    stream = json.loads((exported.parent / "report.json").read_text())
    assert len(lines) == 3
    written = [("export", report), ("metadata", report["metadata"]), ("report", stream)]
    for name, values in [*written, *(("record", line) for line in lines)]:
        check(values, name)
        assert undescribed(values, SCHEMAS[f"{name}.schema.json"]) == [], name


def test_several_precisions_keep_to_the_schema(exported: Path, tmp_path: Path) -> None:
    result = advmtl(
        "export", exported, "--precision", "fp16", "--target", "gpu", "--force", "--out", tmp_path / "m.onnx"
    )
    assert result.exit_code == 0, result.output
    for name in ("export_report.json", "m_fp16.json"):
        values = json.loads((tmp_path / name).read_text())
        check(values, "export")
        assert undescribed(values, SCHEMAS["export.schema.json"]) == [], name
    assert not card_path(tmp_path / "m.onnx").exists(), "float32 was not asked for"
    card = card_path(tmp_path / "m_fp16.onnx").read_text()
    assert "| validation frames | fp16 | fp32 |" in card and "Measured on " in card


def test_a_schema_refuses_what_is_not_so(exported: Path) -> None:
    values = json.loads((exported / "model.json").read_text())["metadata"]
    for change in ({"fit": "squeeze"}, {"resize": "bilinear"}, {"size": [64]}, {"depth_unit": "mm"}, {"zoom": 0}):
        assert not Draft202012Validator(SCHEMAS["metadata.schema.json"]).is_valid({**values, **change}), change
    del values["resize"]
    assert not Draft202012Validator(SCHEMAS["metadata.schema.json"]).is_valid(values)


def test_fields_and_schemas_name_the_same() -> None:
    for kind, name in ((Metadata, "metadata"), (StreamReport, "report")):
        assert {one.name for one in fields(kind)} == set(SCHEMAS[f"{name}.schema.json"]["properties"])  # type: ignore[arg-type]
    assert SCHEMAS["metadata.schema.json"]["properties"]["resize"]["const"] == RESIZE


def test_the_card_says_data_licences_figures_camera_and_limits(exported: Path) -> None:
    card = (exported / "model_card.md").read_text()
    evaluation = json.loads((exported / "evaluation.json").read_text())
    for wanted in (
        "# model.onnx",
        "| train | cityscapes:streets:train | Cityscapes: non-commercial",
        "| train | depth | 6 | 6 |",
        f"| AbsRel | {evaluation['depth']['abs_rel']:.4g} |  | 3 |",
        "a lens of 27.0 degrees horizontally (200 px in frames of 96x48)",
        "| output `depth_m` | float32 [1,H,W]",
        "| classes | agreement | 100.",
        "Not a safety device",
        "3 of 3 validation frames are training frames too",
        "no training frame has, so it can hardly say them: sidewalk, ",
    ):
        assert wanted in card, wanted
    assert str(exported.parent) not in card, "folders of the machine are nobody's business"


def test_a_card_that_was_edited_stays(exported: Path, tmp_path: Path) -> None:
    config = make_config(exported.parent / "streets", critic=False)
    source = config.data.train[0].model_copy(
        update={"format": "folder", "root": "/somewhere/mine|yours", "split": None}
    )
    config = config.model_copy(update={"data": config.data.model_copy(update={"train": [source]})})
    meta = Metadata("0.1.0", (64, 32), outputs=("classes",), class_names=("a",), palette=((1, 2, 3),))
    parity = ParityReport(1, {"classes": Difference("agreement", 0.999, 0.0, 0.0, 0.0)})
    card = Card(FileFacts(tmp_path / "m.onnx", 1.0), config, meta, parity, None, tmp_path / "gone" / "x.pt")
    first = write_card(card)
    text = first.read_text()
    assert first == tmp_path / "m_card.md"
    assert f"| train | folder:mine\\|yours | {UNTOLD} |" in text
    assert "no evaluation.json" in text and "do not depend on the lens" in text and "+Inf" not in text
    assert write_card(card) == first, "as it was written: it may be written again"
    first.write_text(text.replace(UNTOLD, "CC0"))
    second = write_card(card)
    assert second == tmp_path / "m_card.new.md"
    assert "CC0" in first.read_text() and UNTOLD in second.read_text()
    assert write_card(card) == second


def test_a_synthetic_set_is_its_makers_own(exported: Path, tmp_path: Path) -> None:
    root = tmp_path / "synth"
    write_json(root / "synth.json", {})
    config = make_config(root, critic=False)
    meta = Metadata("0.1.0", (64, 32), outputs=("classes",), class_names=("a",), palette=((1, 2, 3),))
    values = Card(FileFacts(tmp_path / "m.onnx", 1.0), config, meta, ParityReport(1), None, exported).values()
    assert values["sets"][0] == ["train", "cityscapes:synth:train", "generated by `advmtl synth`: yours"]
    assert json.loads(to_json(meta))["batch"] == 1
