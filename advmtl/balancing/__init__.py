"""Gradient and loss balancing: how the rows of a step become one update.

A balancer is an `nn.Module` of one of three kinds (`kinds`), told apart by type. `methods` names every method and its
options without torch, for the configuration; `build` makes the module. No autograd through networks happens here: see
`advmtl.balancing.gradients`.
"""
