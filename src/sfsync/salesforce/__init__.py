"""The only package that speaks Salesforce: REST, composite, and the Pub/Sub API.

`SalesforceOrg` keeps the promise `ports.Org`; everything else here serves it:

- ``config``     what must be known of an org to reach it
- ``transport``  HTTP clients, and whether a failed request may have arrived
- ``auth``       access tokens, by secret or by key, one request at a time, renewed when the org says so
- ``rest``       one REST call; every failure becomes one of the three names
- ``soql``       literals, and lists cut to what fits into a URI
- ``records``    the org's records as the domain's values
- ``ledger``     a group commit as one composite call, and its answer
- ``snapshot``   levels and ledger rows in bulk
- ``orders``     orders that live in the org, read whole
- ``library``    the same pages by simple-salesforce in a worker thread
- ``check``      objects, fields, permissions, and whether the rule really refuses
- ``stream``     what every source of events promises, and the one that decodes Avro
- ``check_orders``  the same for the org's orders; ``describing`` has the words of both
- ``check_allowances``  what it allows and has left, its clock, what its event channels carry
- ``pubsub``     the event stream over gRPC
- ``avro``       Avro bytes to events
- ``cometd``     the event stream over CometD, where gRPC cannot pass; `cometd_guard` holds its library
- ``bayeux``     CometD's messages to events, and what its answers mean
- ``codec``      events to what woke us
- ``org``        all of it together
"""
