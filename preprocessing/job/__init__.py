"""One preprocessing run over a set: settings, plan, frames, manifest, sharding over processes."""

from preprocessing.job.bag_look import BagFrame, BagLook, look_at_bag
from preprocessing.job.convert import run as convert_frames
from preprocessing.job.inspection import Inspection, inspect
from preprocessing.job.manifest import Row, Shard, asked_matcher, current_shard, maps_name, read_manifest
from preprocessing.job.pipeline import PERCENTILES, Plan, Report, make_plan, preprocess
from preprocessing.job.preview import colour_values
from preprocessing.job.raw import beside, check_matchable, dry_run_lines, rows_of_set
from preprocessing.job.recording import AskedTopics, BagSettings
from preprocessing.job.rectify import RectifyReport, RectifySettings, find_raw, rectify_set
from preprocessing.job.rectify import lines as rectify_lines
from preprocessing.job.settings import PreprocessSettings, build_settings, current_names
