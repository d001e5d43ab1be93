"""How good is the depth that `preprocess` wrote: figures, a page, pictures of the worst frames."""
