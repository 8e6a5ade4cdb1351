"""Speed, told as ratios: sfsync and an honest glue script side by side, in one run, on the same simulators.

- ``glue``     the rival: what somebody would write instead, in sixty lines
- ``stage``    one org, some storefronts, a contestant; what happened is read off the simulators' own logs
- ``latency``  50 changes a second to two storefronts: from commit in the org to the storefront's own change
- ``burst``    2,000 changes over 500 levels under Shopify's Standard points; then the same with a kill in it
"""
