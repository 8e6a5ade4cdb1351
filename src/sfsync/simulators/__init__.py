"""The other parties, over their real wire: a Salesforce org and storefronts.

Nothing here imports anything of sfsync, so that product and simulator are two
independent readers of one contract.
"""
