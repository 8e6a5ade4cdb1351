"""A simulated Vendure shop with sfsync's plugin, as the Admin API shows it, over the real wire.

Variants and their levels at stock locations, orders with their allocations and fulfilments, sessions and API
keys; the plugin's additions to the API, and its signed webhooks. Shoppers buy through the control port, which
orders trouble and tells the truth about the stock too. The schema is a part of the real one, and behaviour is
that of Vendure 3.7.3 as measured; tests compare both.

Reading order: `config` (knobs, seed), `shop` (the books), `plugin` (webhooks), `api`, `control`, `command`.
"""
