"""The GraphQL texts for a Vendure shop's Admin API, with the fields that the plugin adds."""

from __future__ import annotations

_VARIANT = """
  id
  sku
  trackInventory
  outOfStockThreshold
  useGlobalOutOfStockThreshold
  stockLevels { stockLocationId stockOnHand stockAllocated }
"""

_ORDER = """
  id
  code
  state
  orderPlacedAt
  sfsyncChangedAt
  lines {
    id
    quantity
    productVariant { sku }
    sfsyncPlaces { stockLocationId allocated released sold cancelled miscounted returns { at quantity } }
    fulfillmentLines { quantity fulfillment { state updatedAt } }
  }
"""

LOGIN = """
mutation SignIn($username: String!, $password: String!) {
  login(username: $username, password: $password) { __typename }
}
"""

SHOP = """
query Shop($since: DateTime!) {
  stockLocations(options: { take: 1000 }) { items { id name } }
  globalSettings { trackInventory outOfStockThreshold }
  productVariants(options: { take: 1 }) { items { id } }
  orders(options: { take: 1 }) { items { id sfsyncChangedAt } }
  sfsyncOrdersChanged(since: $since, take: 1)
}
"""

RIGHTS = """
query Rights {
  me { identifier channels { token permissions } }
  activeChannel { token }
}
"""

VARIANTS = f"""
query Variants($options: ProductVariantListOptions!) {{
  globalSettings {{ trackInventory outOfStockThreshold }}
  productVariants(options: $options) {{ totalItems items {{ {_VARIANT} }} }}
}}
"""

LEVELS = """
query Levels($options: ProductVariantListOptions!) {
  stockLocations(options: { take: 1000 }) { items { id } }
  productVariants(options: $options) {
    items { id stockLevels { stockLocationId stockOnHand stockAllocated } }
  }
}
"""

SET_STOCK = """
mutation SetStock($input: [UpdateProductVariantInput!]!) {
  updateProductVariants(input: $input) {
    id
    stockLevels { stockLocationId stockOnHand stockAllocated }
  }
}
"""

CHANGED = """
query Changed($since: DateTime!, $after: ID, $take: Int!) {
  sfsyncOrdersChanged(since: $since, after: $after, take: $take)
}
"""

ORDERS = f"""
query Orders($options: OrderListOptions!) {{
  orders(options: $options) {{ items {{ {_ORDER} }} }}
}}
"""

ORDER = f"""
query OneOrder($id: ID!) {{
  order(id: $id) {{ {_ORDER} }}
}}
"""

TO_CANCEL = """
query ToCancel($id: ID!) {
  order(id: $id) {
    state
    lines {
      quantity
      productVariant { id }
      sfsyncPlaces { stockLocationId allocated released sold cancelled }
      fulfillmentLines { quantity fulfillment { state } }
    }
    payments { id amount state refunds { total state } }
  }
}
"""

CANCEL = """
mutation Cancel($input: CancelOrderInput!) {
  cancelOrder(input: $input) { __typename ... on ErrorResult { errorCode message } }
}
"""

REFUND = """
mutation Refund($input: RefundOrderInput!) {
  refundOrder(input: $input) { __typename ... on ErrorResult { errorCode message } }
}
"""

EVERY = {
    "LOGIN": LOGIN,
    "SHOP": SHOP,
    "RIGHTS": RIGHTS,
    "VARIANTS": VARIANTS,
    "LEVELS": LEVELS,
    "SET_STOCK": SET_STOCK,
    "CHANGED": CHANGED,
    "ORDERS": ORDERS,
    "ORDER": ORDER,
    "TO_CANCEL": TO_CANCEL,
    "CANCEL": CANCEL,
    "REFUND": REFUND,
}
