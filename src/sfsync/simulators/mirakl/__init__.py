"""A simulated Mirakl marketplace, as one of its shops meets it, over the real wire.

The seller API answers for the calls that carry stock and orders: OF21 lists offers, STO01 takes a stock
file that is imported a while later, STO02 and STO03 tell what became of it, OR11 lists orders, A01 tells who
asks. Shoppers buy through the control port, which orders trouble and tells the truth about the stock too.

Reading order: `config` (knobs, seed), `market` (offers, orders, imports), `api`, `control`, `command`.
"""
