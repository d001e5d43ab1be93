"""One run over a set: what is asked, what is to do, one frame, the record, the shares of several processes."""
