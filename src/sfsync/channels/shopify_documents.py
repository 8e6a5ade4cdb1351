"""The GraphQL texts sent to a Shopify store, and how many rows each may ask for.

A query may cost 1,000 points: an object costs 1, a connection 2 and its page size times what one row costs.
The sizes keep every text below `QUERY_POINTS` by that reckoning.
"""

from __future__ import annotations

from collections.abc import Sequence

QUERY_POINTS = 900  # of the 1,000 that a single query may cost
PAGE_ROWS = 250  # the most that a connection gives, and that a list may hold
PAGED_ROWS = 20_000  # pages end at 25,000 rows: before that, a new list is begun after the last row
PAGES_BEFORE_BULK = 5  # a store that has more is read by a bulk operation from there on
LOCATIONS_A_QUERY = 20  # each adds two objects to every row

ADJUST_QUANTITIES = """
mutation AdjustQuantities($key: String!, $input: InventoryAdjustQuantitiesInput!) {
  inventoryAdjustQuantities(input: $input) @idempotent(key: $key) {
    inventoryAdjustmentGroup { id }
    userErrors { code field message }
  }
}
"""

CANCEL_ORDER = """
mutation CancelOrder(
  $orderId: ID!, $refundMethod: OrderCancelRefundMethodInput, $notifyCustomer: Boolean, $staffNote: String
) {
  orderCancel(
    orderId: $orderId, reason: INVENTORY, restock: false, refundMethod: $refundMethod,
    notifyCustomer: $notifyCustomer, staffNote: $staffNote
  ) {
    job { id }
    orderCancelUserErrors { code field message }
  }
}
"""

CHECK_APP = """
query CheckApp {
  shop { name myshopifyDomain }
  currentAppInstallation { accessScopes { handle } }
  publicApiVersions { handle supported }
}
"""

CHECK_LOCATIONS = """
query CheckLocations {
  locations(first: 250, includeInactive: true) { nodes { id name isActive fulfillsOnlineOrders } }
}
"""

WEBHOOKS = """
query Webhooks($after: String) {
  webhookSubscriptions(first: 100, after: $after) {
    pageInfo { hasNextPage endCursor }
    nodes { id topic uri format includeFields filter }
  }
}
"""

SUBSCRIBE_WEBHOOK = """
mutation SubscribeWebhook($topic: WebhookSubscriptionTopic!, $wanted: WebhookSubscriptionInput!) {
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: $wanted) {
    webhookSubscription { id }
    userErrors { field message }
  }
}
"""

UNSUBSCRIBE_WEBHOOK = """
mutation UnsubscribeWebhook($id: ID!) {
  webhookSubscriptionDelete(id: $id) {
    deletedWebhookSubscriptionId
    userErrors { field message }
  }
}
"""

# How many orders, and parts of each, one page of a poll asks for. Most orders fit; a larger one is read
# whole by the texts below.
ORDERS_ROWS = 6
ORDER_LINES = 10
ORDER_PARTS = 5  # fulfilments, and refunds
ORDER_PART_LINES = 5

# Of a store with several locations, where the units of an order stand is asked too: fewer orders a page.
ROUTED_ORDERS_ROWS = 4
ORDER_ROUTES = 3  # fulfilment orders, each of one location

_ORDER_HEAD = """
      id name createdAt processedAt updatedAt cancelledAt displayFinancialStatus
      customAttributes { key value }
      retailLocation { id }
"""
_LINES = """pageInfo { hasNextPage endCursor }
        nodes { id sku quantity currentQuantity unfulfilledQuantity isGiftCard variant { id }
          customAttributes { key value } }"""
_FULFILLMENT_LINES = "pageInfo { hasNextPage } nodes { quantity lineItem { id } }"
_REFUND_LINES = "pageInfo { hasNextPage } nodes { quantity restockType lineItem { id } }"
_ROUTED_REFUND_LINES = (
    "pageInfo { hasNextPage } nodes { quantity restockType lineItem { id } location { id } }"
)
_LOCATION = "location { id }"


def _fulfillments(parts: str, lines: str, *, routed: bool) -> str:
    return f"""fulfillments(first: {parts}) {{
        createdAt status {_LOCATION if routed else ""}
        fulfillmentLineItems(first: {lines}) {{ {_FULFILLMENT_LINES} }}
      }}"""


def _refunds(parts: str, lines: str, *, routed: bool) -> str:
    rows = _ROUTED_REFUND_LINES if routed else _REFUND_LINES
    return f"refunds(first: {parts}) {{ createdAt refundLineItems(first: {lines}) {{ {rows} }} }}"


def _routes(parts: str, lines: str) -> str:
    return f"""fulfillmentOrders(first: {parts}) {{
        pageInfo {{ hasNextPage }}
        nodes {{
          status
          assignedLocation {{ {_LOCATION} }}
          lineItems(first: {lines}) {{
            pageInfo {{ hasNextPage }}
            nodes {{ remainingQuantity lineItem {{ id }} }}
          }}
        }}
      }}"""


def _order(*, routed: bool) -> str:
    """An order with some lines and parts; what it costs is in `test_shopify_documents`."""
    parts, lines = str(ORDER_PARTS), str(ORDER_PART_LINES)
    return f"""{_ORDER_HEAD}
      lineItems(first: {ORDER_LINES}) {{ {_LINES} }}
      {_fulfillments(parts, lines, routed=routed)}
      {_refunds(parts, lines, routed=routed)}
      {_routes(str(ORDER_ROUTES), lines) if routed else ""}"""


def _orders_since(*, routed: bool) -> str:
    rows = ROUTED_ORDERS_ROWS if routed else ORDERS_ROWS
    return f"""
query {"Routed" if routed else ""}OrdersSince($query: String!, $after: String) {{
  orders(first: {rows}, after: $after, query: $query, sortKey: UPDATED_AT) {{
    pageInfo {{ hasNextPage endCursor }}
    nodes {{{_order(routed=routed)}
    }}
  }}
}}
"""


def _one_order(*, routed: bool) -> str:
    return f"""
query {"Routed" if routed else ""}Order($id: ID!) {{
  order(id: $id) {{{_order(routed=routed)}
  }}
}}
"""


def _order_part(operation: str, part: str) -> str:
    return f"""
query {operation}($id: ID!, $parts: Int!, $lines: Int!) {{
  order(id: $id) {{
    updatedAt
    {part}
  }}
}}
"""


ORDERS_SINCE = _orders_since(routed=False)
ROUTED_ORDERS_SINCE = _orders_since(routed=True)
ORDER_TIMES = f"""
query OrderTimes($query: String!, $after: String) {{
  orders(first: {PAGE_ROWS}, after: $after, query: $query, sortKey: UPDATED_AT) {{
    pageInfo {{ hasNextPage endCursor }}
    nodes {{ id updatedAt }}
  }}
}}
"""
ORDER = _one_order(routed=False)
ROUTED_ORDER = _one_order(routed=True)

ORDER_LINE_ITEMS = f"""
query OrderLineItems($id: ID!, $after: String) {{
  order(id: $id) {{
    {_ORDER_HEAD}
    lineItems(first: {PAGE_ROWS}, after: $after) {{ {_LINES} }}
  }}
}}
"""
ORDER_FULFILLMENTS = _order_part("OrderFulfillments", _fulfillments("$parts", "$lines", routed=False))
ORDER_REFUNDS = _order_part("OrderRefunds", _refunds("$parts", "$lines", routed=False))
ROUTED_ORDER_FULFILLMENTS = _order_part(
    "RoutedOrderFulfillments", _fulfillments("$parts", "$lines", routed=True)
)
ROUTED_ORDER_REFUNDS = _order_part("RoutedOrderRefunds", _refunds("$parts", "$lines", routed=True))
ORDER_ROUTING = _order_part("OrderRouting", _routes("$parts", "$lines"))

ORDER_OF_ROUTE = """
query OrderOfRoute($id: ID!) {
  fulfillmentOrder(id: $id) { orderId }
}
"""

# (parts, lines of each), tried in turn until all of an order's fulfilments or refunds fit. A part costs
# itself, its connection, and two objects a line.
PART_SIZES = tuple((parts, (QUERY_POINTS // parts - 3) // 2) for parts in (6, 12, 24, 48, 96, 2))
# With locations: five objects a part, and three a line, at most.
ROUTED_PART_SIZES = tuple((parts, (QUERY_POINTS // parts - 5) // 3) for parts in (6, 12, 24, 48, 96, 2))


RUN_BULK = """
mutation RunBulk($query: String!) {
  bulkOperationRunQuery(query: $query, groupObjects: false) {
    bulkOperation { id }
    userErrors { field message }
  }
}
"""

BULK = """
query Bulk($id: ID!) {
  bulkOperation(id: $id) { status errorCode url }
}
"""


_TAGS = "\n      product { tags }"


def _variant(locations: Sequence[str], *, tags: bool) -> str:
    """A variant with what is available at locations: each is a variable, or a text in quotes."""
    levels = "\n        ".join(
        f'at{n}: inventoryLevel(locationId: {place}) {{ quantities(names: ["available"]) {{ quantity }} }}'
        for n, place in enumerate(locations)
    )
    return f"""id
      sku
      price
      inventoryPolicy
      requiresComponents{_TAGS if tags else ""}
      inventoryItem {{
        id
        tracked
        duplicateSkuCount
        {levels}
      }}"""


def variants_document(locations: int, *, tags: bool = False) -> str:
    """Reads variants with what is available at that many locations, `$at0`, `$at1` …"""
    asked = "".join(f", $at{n}: ID!" for n in range(locations))
    return f"""
query Variants($first: Int!, $after: String, $query: String{asked}) {{
  productVariants(first: $first, after: $after, query: $query, sortKey: ID) {{
    pageInfo {{ hasNextPage endCursor }}
    nodes {{
      {_variant([f"$at{n}" for n in range(locations)], tags=tags)}
    }}
  }}
}}
"""


def bulk_variants_document(locations: Sequence[str], behind: int, *, tags: bool = False) -> str:
    """The same for a bulk read of every variant behind one: it takes no variables, and no pages."""
    return f"""
{{
  productVariants(query: "id:>{behind}", sortKey: ID) {{
    edges {{
      node {{
      {_variant([f'"{gid}"' for gid in locations], tags=tags)}
      }}
    }}
  }}
}}
"""


def variants_rows(locations: int, skus: int | None = None, *, tags: bool = False) -> int:
    """How many variants one page may have: each costs itself, its item, and two objects a location.

    Its product, where its tags are read, is one more.

    A page is paid for by its size, so for a few SKUs it is small; twice as many as were asked for leave room
    for what a search finds besides.
    """
    affordable = min(PAGE_ROWS, QUERY_POINTS // (2 + tags + 2 * locations))
    return affordable if skus is None else min(affordable, 2 * skus + 2)


def sku_query(skus: Sequence[str]) -> str:
    """A search for any of these SKUs. What comes back must still be compared: the search is not exact."""
    return " OR ".join(f"sku:{quoted(sku)}" for sku in skus)


def quoted(text: str) -> str:
    """A phrase of the search syntax, whatever signs the text has."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
