"""Any stereo network as a matcher: an ONNX file with two pictures in and one disparity map out.

`signature` reads what a file takes and gives, `families` has the facts of known networks, `settings` puts them together
with what the user says, `fit` brings pictures to the network's size and back, `model` runs it, `matcher` matches a
pair, `sanity` tries one before a whole set is spent.
"""

from preprocessing.stereo.network.families import FAMILIES
from preprocessing.stereo.network.matcher import describe, load, onnx
from preprocessing.stereo.network.sanity import Verdict, judge
from preprocessing.stereo.network.settings import OnnxSettings
