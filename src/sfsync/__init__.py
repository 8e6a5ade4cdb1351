"""sfsync keeps every storefront's stock equal to the Salesforce org's ledger.

The flow in one line::

    org stream, webhooks, reservations -> inbox -> decide -> ledger (org) -> levels -> ATS -> push -> channels

- ``domain``      pure decisions: stock, orders, ledger requests, ATS, pushes; no I/O, no clock
- ``ports``       what the flow asks of the outside, and the three names of failure
- ``flow``        the story: intake, orders, writer, relay, reconcile, supervisor
- ``store``       what must survive a crash: SQLAlchemy Core over SQLite or PostgreSQL
- ``salesforce``  the only package that speaks Salesforce
- ``channels``    one thin dialect file per storefront or marketplace
- ``web``         webhooks in, APIs, dashboard with its log-in, metrics
- ``simulators``  the other parties over their real wire; they import nothing of ours
- ``overview``    how things stand, as one status with its verdict
- ``reports``     accuracy of the books by the counts, what sells, what lacks, what to count next
- ``shadow``      beside another integration: the ports that let nothing out, and what they saw
- ``kinds``       the kinds of channel that other packages bring
- ``lives``       the life of a SKU's numbers, for its page
- ``telemetry``   traces to a collector, where they are wanted
- ``settings``    one TOML file, environment and secret files
- ``plain_http`` HTTP requests as they are, for whoever calls the outside
- ``app``         the one place where everything meets
- ``cli``         what an admin types
- ``testing``     the exam that every channel's adapter sits, ours and others'
"""

__version__ = "0.1.0"
