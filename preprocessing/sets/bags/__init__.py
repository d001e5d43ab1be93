"""ROS bags without ROS: topics, pictures, cameras, clouds and pairs of MCAP, ROS 2's SQLite and ROS 1's files."""

from preprocessing.sets.bags.bag import Bag, is_bag, open_bag
from preprocessing.sets.bags.choice import AskedTopics, Chosen, choose, is_rectified_name
from preprocessing.sets.bags.decoding import info_of, stamp_of
from preprocessing.sets.bags.lidar import Lidar, first_look, frames_in, turned
from preprocessing.sets.bags.message import Message
from preprocessing.sets.bags.mount import read_mount
from preprocessing.sets.bags.pairs import ALONE_LISTED, Pairs, far_off, pair_up, seconds, truth_of, truth_text
from preprocessing.sets.bags.pictures import ENCODINGS, depth_of, encoded_of, picture_of, rgb_of
from preprocessing.sets.bags.topics import Topic, scan
from preprocessing.sets.bags.transforms import Transforms
