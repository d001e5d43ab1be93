"""What `advmtl export` does: float32 alone or several precisions, reports beside them, engines of them."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from export.convert.parity import ParityError
from export.convert.to_onnx import print_export
from export.quantize.precisions import Options, export_float, export_precisions, path_of
from export.quantize.table import print_precisions, refusal
from export.session.engine_build import build_engines
from preprocessing.ground import InputError, write_json


def export_all(run: Path, out: Path, options: Options, *, frames: Path | None, count: int, engine: bool) -> None:
    """Export, print, and write `out`'s JSON, `export_report.json` and that of the int8 model beside it.

    Raises: InputError; ParityError for a model that differs or loses too much, after all others are written.
    """
    console = Console(soft_wrap=True)
    if engine:
        options = replace(options, target="gpu")
    if set(options.precisions) == {"fp32"}:
        single = export_float(run, out, options, frames=frames, count=count)
        print_export(single)
        write_json(out.with_suffix(".json"), single.to_dict())
        written, refused = [out], None
    else:
        report = export_precisions(run, out, options, frames=frames, count=count)
        print_precisions(report)
        values = report.to_dict()
        write_json(out.parent / "export_report.json", values)
        for one in report.models:
            if one.path is not None:
                found = values["quantisation"] if one.precision == "int8" else None
                own = {**one.to_dict(), "quantisation": found}
                own |= {name: values[name] for name in ("metadata", "processor")}
                write_json(path_of(one.precision, out).with_suffix(".json"), own)
        written, refused = [one.path for one in report.models if one.path is not None], refusal(report, out)
    if engine and written:
        try:
            build_engines(written, console)
        except InputError as error:
            if refused is None:
                raise
            console.print(f"no engine: {error}", highlight=False, markup=False)
    if refused is not None:
        raise ParityError(refused)
    console.print(f"next: advmtl infer {written[-1]} VIDEO --out result.mp4", highlight=False)
