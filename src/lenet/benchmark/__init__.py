"""How fast it is here: the engine beside named peers, in one run, by turns, on the same work.

Opens nothing: a fresh process whose memory is measured passes through here.
"""
