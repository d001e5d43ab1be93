"""From a trained run to one file that runs on a camera."""
