"""Values of requests by kind of feature: what is read of them, and what is wrong with them."""
