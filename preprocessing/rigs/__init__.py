"""Cameras of any make: calibration files, folder pairs and KITTI, and how to see that a pair is wrong."""
