"""A simulated Amazon store, as one seller's software meets it, over the real wire.

Login with Amazon gives tokens; the Selling Partner API lists and patches listings, takes feeds that are
processed a while later, and lists orders, each operation out of a token bucket of its own. Shoppers buy
through the control port, which orders trouble and tells the truth about the stock too.

Reading order: `config` (knobs, seed), `store` (listings, orders, feeds), `api`, `control`, `command`.
"""
