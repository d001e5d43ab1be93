"""How a pair becomes disparity: census matching, filling, sky and ego vehicle, CREStereo and its files."""
