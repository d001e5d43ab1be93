"""Several configurations against single-task learning: runs, figures, tables, a picture."""
