// The shop's side of sfsync: a plugin for Vendure 3.
//
// It tells sfsync that something about an order has changed, by a signed webhook (Standard Webhooks 1.0); and it adds to
// the Admin API what Vendure keeps and does not tell: at which stock locations the units of an order line stand, and which
// orders have changed since a time. It stores nothing of its own, so no migration is needed. Webhooks go through the
// shop's job queue, which tries again what failed.
//
//     const { SfsyncPlugin } = require('./sfsync-plugin');
//     ...
//     plugins: [SfsyncPlugin.init({ url: 'https://sfsync.example.com/webhooks/boutique', secret: process.env.SFSYNC_SECRET })],

'use strict';

const { createHmac } = require('node:crypto');
const { Inject } = require('@nestjs/common');
const { Args, Parent, Query, ResolveField, Resolver } = require('@nestjs/graphql');
const { parse } = require('graphql');
const { Brackets } = require('typeorm');
const {
    Allow,
    Ctx,
    EventBus,
    FulfillmentStateTransitionEvent,
    JobQueueService,
    Logger,
    Order,
    OrderLine,
    OrderStateTransitionEvent,
    Permission,
    PluginCommonModule,
    RefundStateTransitionEvent,
    StockLevel,
    StockMovement,
    StockMovementEvent,
    TransactionalConnection,
    VendurePlugin,
} = require('@vendure/core');

const QUEUE = 'sfsync';
const TRIES = 20;
const PATIENCE_MS = 10_000;
const MOST_ORDERS = 1000;
const OrderHistoryEntry = 'OrderHistoryEntry'; // an entity that the package does not export

// -- what is told by webhook

class SfsyncPlugin {
    static init(options) {
        SfsyncPlugin.options = options;
        return SfsyncPlugin;
    }

    constructor(eventBus, jobQueueService, connection) {
        this.eventBus = eventBus;
        this.jobQueueService = jobQueueService;
        this.connection = connection;
    }

    async onApplicationBootstrap() {
        this.queue = await this.jobQueueService.createQueue({ name: QUEUE, process: job => post(job) });
        this.on(OrderStateTransitionEvent, event => (event.order.orderPlacedAt ? [event.order.id] : []));
        this.on(RefundStateTransitionEvent, event => [event.order.id]);
        this.on(FulfillmentStateTransitionEvent, event =>
            this.ordersOf(event.ctx, (event.fulfillment.lines ?? []).map(line => line.orderLineId)),
        );
        // Units called off or added, which may leave the order's state as it is.
        this.on(StockMovementEvent, event =>
            this.ordersOf(event.ctx, event.stockMovements.map(each => each.orderLine?.id).filter(id => id != null)),
        );
    }

    // Events come here once what they tell of is committed.
    on(event, orders) {
        this.eventBus.ofType(event).subscribe(async each => {
            try {
                for (const id of await orders(each)) {
                    await this.queue.add({ order: String(id), at: Date.now() }, { retries: TRIES });
                }
            } catch (error) {
                Logger.error(`not told: ${error.message}`, 'sfsync');
            }
        });
    }

    async ordersOf(ctx, lineIds) {
        const found = new Set();
        for (const id of lineIds) {
            const line = await this.connection
                .getRepository(ctx, OrderLine)
                .findOne({ where: { id }, relations: { order: true }, loadEagerRelations: false });
            if (line?.order) found.add(line.order.id);
        }
        return found;
    }
}

// One attempt. What it throws makes the queue try again.
async function post(job) {
    const { url, secret } = SfsyncPlugin.options;
    const { order, at } = job.data;
    const id = `${order}-${job.id}`;
    const now = Math.floor(Date.now() / 1000);
    const body = JSON.stringify({ type: 'order.changed', timestamp: new Date(at).toISOString(), data: { order } });
    const answer = await fetch(url, {
        method: 'POST',
        headers: {
            'content-type': 'application/json',
            'webhook-id': id,
            'webhook-timestamp': String(now),
            'webhook-signature': `v1,${signature(secret, `${id}.${now}.${body}`)}`,
        },
        body,
        signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (!answer.ok) throw new Error(`sfsync answered HTTP ${answer.status}`);
    return { status: answer.status };
}

function signature(secret, text) {
    return createHmac('sha256', Buffer.from(secret.replace(/^whsec_/, ''), 'base64')).update(text).digest('base64');
}

// -- what is added to the Admin API

const schema = parse(`
    "Units of an order line that one stock location has allocated, given back, sent, and taken back."
    type SfsyncPlace {
        stockLocationId: ID!
        allocated: Int!
        released: Int!
        sold: Int!
        cancelled: Int!
        "By how much the location's allocated number differs from the movements made there: 0 where it counts rightly."
        miscounted: Int!
        "What came back here after it had been sent, each time."
        returns: [SfsyncReturn!]!
    }

    type SfsyncReturn {
        at: DateTime!
        quantity: Int!
    }

    extend type OrderLine {
        "Where the line's units stand, by the stock movements that were made for it."
        sfsyncPlaces: [SfsyncPlace!]!
    }

    extend type Order {
        "When anything about the order has changed last: its updatedAt knows nothing of fulfilments."
        sfsyncChangedAt: DateTime!
    }

    extend type Query {
        "Ids of placed orders of which anything has changed since then: those after an id, lowest first."
        sfsyncOrdersChanged(since: DateTime!, after: ID, take: Int!): [ID!]!
    }
`);

const COUNTED = { ALLOCATION: 'allocated', RELEASE: 'released', SALE: 'sold', CANCELLATION: 'cancelled' };

class LineResolver {
    constructor(connection) {
        this.connection = connection;
    }

    async sfsyncPlaces(ctx, line) {
        const column = this.connection.rawConnection.driver.escape('orderLineId');
        const movements = await this.connection
            .getRepository(ctx, StockMovement)
            .createQueryBuilder('movement')
            .where(`movement.${column} = :id`, { id: line.id })
            .orderBy('movement.id')
            .getMany();
        const places = new Map();
        for (const { stockLocationId, type, quantity, createdAt } of movements) {
            const key = String(stockLocationId);
            const none = { stockLocationId, allocated: 0, released: 0, sold: 0, cancelled: 0, returns: [] };
            const place = places.get(key) ?? none;
            if (type in COUNTED) place[COUNTED[type]] += Math.abs(quantity);
            if (type === 'CANCELLATION') place.returns.push({ at: createdAt, quantity: Math.abs(quantity) });
            places.set(key, place);
        }
        for (const place of places.values()) {
            place.miscounted = await this.miscounted(ctx, line.productVariantId, place.stockLocationId);
        }
        return [...places.values()];
    }

    // Orders at once may each read the number, and write theirs: what the movements say is then not in it.
    async miscounted(ctx, productVariantId, stockLocationId) {
        const escape = name => this.connection.rawConnection.driver.escape(name);
        const level = await this.connection
            .getRepository(ctx, StockLevel)
            .findOne({ where: { productVariantId, stockLocationId } });
        const rows = await this.connection
            .getRepository(ctx, StockMovement)
            .createQueryBuilder('movement')
            .select('movement.type', 'type')
            .addSelect('SUM(movement.quantity)', 'units')
            .where(`movement.${escape('productVariantId')} = :productVariantId`, { productVariantId })
            .andWhere('movement.stockLocationId = :stockLocationId', { stockLocationId })
            .groupBy('movement.type')
            .getRawMany();
        const units = Object.fromEntries(rows.map(row => [row.type, Number(row.units)]));
        const moved = (units.ALLOCATION ?? 0) - (units.RELEASE ?? 0) + (units.SALE ?? 0); // a sale's are negative
        return (level?.stockAllocated ?? 0) - moved;
    }
}

class OrderResolver {
    constructor(connection) {
        this.connection = connection;
    }

    async sfsyncChangedAt(ctx, order) {
        const last = await this.connection
            .getRepository(ctx, OrderHistoryEntry)
            .findOne({ where: { order: { id: order.id } }, order: { createdAt: 'DESC' } });
        return last && last.createdAt > order.updatedAt ? last.createdAt : order.updatedAt;
    }
}

class QueryResolver {
    constructor(connection) {
        this.connection = connection;
    }

    async sfsyncOrdersChanged(ctx, { since, after, take }) {
        const query = this.connection
            .getRepository(ctx, Order)
            .createQueryBuilder('placed')
            .select('placed.id', 'id')
            .innerJoin('placed.channels', 'channel', 'channel.id = :channel', { channel: ctx.channelId });
        const entries = query
            .subQuery()
            .select('entry.id')
            .from(OrderHistoryEntry, 'entry')
            .where('entry.order = placed.id')
            .andWhere('entry.createdAt >= :since');
        query
            .where('placed.orderPlacedAt IS NOT NULL')
            .andWhere(
                new Brackets(either => {
                    either.where('placed.updatedAt >= :since').orWhere(`EXISTS ${entries.getQuery()}`);
                }),
            )
            .setParameters(entries.getParameters())
            .setParameter('since', inDatabase(this.connection.rawConnection, since));
        if (after != null) query.andWhere('placed.id > :after', { after });
        const rows = await query.orderBy('placed.id', 'ASC').limit(Math.min(take, MOST_ORDERS)).getRawMany();
        return rows.map(row => row.id);
    }
}

// SQLite keeps times as texts, in whole seconds where it wrote them itself, and compares them as such.
function inDatabase(connection, moment) {
    const texts = ['sqljs', 'sqlite', 'better-sqlite3'].includes(connection.options.type);
    return texts ? new Date(moment).toISOString().replace('T', ' ').slice(0, 19) : new Date(moment);
}

// -- put together by hand, so that it runs as it is, uncompiled

function decorated(type, name, resolve, ...parameters) {
    const descriptor = Object.getOwnPropertyDescriptor(type.prototype, name);
    parameters.forEach((parameter, index) => parameter(type.prototype, name, index));
    for (const decorate of resolve) decorate(type.prototype, name, descriptor);
}

for (const [type, of] of [[LineResolver, 'OrderLine'], [OrderResolver, 'Order'], [QueryResolver, undefined]]) {
    Inject(TransactionalConnection)(type, undefined, 0);
    Resolver(of)(type);
}
decorated(LineResolver, 'sfsyncPlaces', [ResolveField('sfsyncPlaces')], Ctx(), Parent());
decorated(OrderResolver, 'sfsyncChangedAt', [ResolveField('sfsyncChangedAt')], Ctx(), Parent());
decorated(
    QueryResolver,
    'sfsyncOrdersChanged',
    [Query('sfsyncOrdersChanged'), Allow(Permission.ReadOrder)],
    Ctx(),
    Args(),
);

[EventBus, JobQueueService, TransactionalConnection].forEach((part, index) => Inject(part)(SfsyncPlugin, undefined, index));
VendurePlugin({
    imports: [PluginCommonModule],
    compatibility: '^3.0.0',
    adminApiExtensions: { schema, resolvers: [LineResolver, OrderResolver, QueryResolver] },
})(SfsyncPlugin);

module.exports = { SfsyncPlugin };
