"""The street-scene generator: shapes, streets, what stands in them, textures, ray casting (the extra `synth`).

Coordinates are metres. The world has x to the right, y forward, z up; an object has x forward, y to its
left, z up and stands on z = 0. A street is laid out in (s, t): s along its centre line, t to the right of it.
"""

from preprocessing.scenes.asked import AS_EVER, EVENTS, LIGHTS, SEASONS, STREETS, Asked, weights_of
from preprocessing.scenes.mounting import AS_CITYSCAPES, Mounting, span_of
from preprocessing.scenes.synth import Pair, Summary, generate, render_pair
