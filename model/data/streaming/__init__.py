"""Tables that memory need not hold: two passes over blocks of rows, and a cache for training.

The first pass (`survey`) collects statistics of the training rows, the second (`coder`) writes
codes into the cache (`cache`), whose files training maps. Neither depends on how the rows are cut
into files.
"""
