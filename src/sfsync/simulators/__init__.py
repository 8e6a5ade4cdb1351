"""The other parties, over their real wire: a Salesforce org, storefronts and marketplaces.

Nothing here imports anything of sfsync, so that product and simulator are two
independent readers of one contract.
"""
