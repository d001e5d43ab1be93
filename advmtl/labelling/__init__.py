"""Choosing what to label: frames ranked by feature diversity and by teacher-student depth disagreement."""
