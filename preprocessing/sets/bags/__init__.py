"""ROS bags without ROS: topics, pictures, cameras, clouds and pairs of MCAP, ROS 2's SQLite and ROS 1's files."""

from preprocessing.sets.bags.bag import Bag, is_bag, open_bag
from preprocessing.sets.bags.camera_infos import PictureCamera, camera_of, picture_camera
from preprocessing.sets.bags.choice import AskedTopics, Chosen, choose, choose_picture, info_beside, is_rectified_name
from preprocessing.sets.bags.decoding import CAMERA_INFO, frame_id_of, info_of, stamp_of
from preprocessing.sets.bags.lidar import Lidar, first_look, frames_in, turned
from preprocessing.sets.bags.message import Held, Message
from preprocessing.sets.bags.mount import read_mount
from preprocessing.sets.bags.pairs import ALONE_LISTED, Pairs, far_off, pair_up, seconds, truth_of, truth_text
from preprocessing.sets.bags.pictures import (
    ENCODINGS,
    depth_of,
    encoded_of,
    picture_of,
    pixels_of,
    rgb_and_note,
    rgb_of,
)
from preprocessing.sets.bags.topics import Topic, scan
from preprocessing.sets.bags.transforms import Transforms
