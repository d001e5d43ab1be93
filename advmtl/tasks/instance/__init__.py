"""Which pixels are one thing: its offset from the centre of the thing, for every pixel."""
