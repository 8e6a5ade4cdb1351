// A real Vendure shop for tests, of the npm package: seeded, with sfsync's plugin, on loopback.
//
// Arguments: one JSON object, see `shop_kit.py`. Prints one JSON line with its addresses and ids when it is ready,
// and ends when its standard input does.

'use strict';

const path = require('node:path');
const { createInterface } = require('node:readline');
const {
    bootstrap,
    defaultConfig,
    DefaultLogger,
    dummyPaymentHandler,
    JobQueueService,
    LanguageCode,
    LogLevel,
    Populator,
} = require('@vendure/core');
const { SfsyncPlugin } = require(path.resolve(__dirname, '../../docs/vendure-plugin/sfsync-plugin.js'));

const wanted = JSON.parse(process.argv[2]);
const USER = 'superadmin';

async function main() {
    const database =
        wanted.database ?? { type: 'sqljs', synchronize: true, autoSave: false, location: '' };
    const config = {
        apiOptions: { port: wanted.port, hostname: '127.0.0.1', adminApiPath: 'admin-api', shopApiPath: 'shop-api' },
        authOptions: {
            tokenMethod: ['bearer', 'api-key'],
            superadminCredentials: { identifier: USER, password: wanted.password },
            sessionDuration: wanted.sessionDuration ?? '1h',
            sessionCacheTTL: 1,
        },
        dbConnectionOptions: { synchronize: true, logging: false, ...database },
        paymentOptions: { paymentMethodHandlers: [dummyPaymentHandler] },
        logger: new DefaultLogger({ level: LogLevel.Error }),
        plugins: [SfsyncPlugin.init({ url: wanted.webhookUrl, secret: wanted.secret })],
    };
    // The queue that every shop begins with, in a hurry: what failed is tried again soon.
    Object.assign(defaultConfig.jobQueueOptions.jobQueueStrategy, { pollInterval: 20, backOffStrategy: () => 200 });
    const app = await bootstrap(config);
    await app.get(JobQueueService).start();
    await app.get(Populator).populateInitialData({
        defaultLanguage: LanguageCode.en,
        defaultZone: 'Europe',
        countries: [{ name: 'United Kingdom', code: 'GB', zone: 'Europe' }],
        taxRates: [{ name: 'Standard', percentage: 20 }],
        shippingMethods: [{ name: 'Standard', price: 500 }],
        paymentMethods: [
            { name: 'Card', handler: { code: 'dummy-payment-handler', arguments: [{ name: 'automaticSettle', value: 'true' }] } },
        ],
        collections: [],
    });
    const ask = await signedIn(`http://127.0.0.1:${wanted.port}/admin-api`);
    const locations = await makeLocations(ask);
    const { roles } = await ask('{ roles { items { id code } } }');
    const { createApiKey } = await ask(
        `mutation ($role: ID!) { createApiKey(input: { roleIds: [$role], translations: [{ languageCode: en, name: "sfsync" }] }) { apiKey } }`,
        { role: roles.items.find(role => role.code === '__super_admin_role__').id },
    );
    const variants = await makeVariants(ask, locations);
    console.log(
        JSON.stringify({
            ready: true,
            url: `http://127.0.0.1:${wanted.port}`,
            username: USER,
            apiKey: createApiKey.apiKey,
            locations,
            variants,
        }),
    );
    // A line on standard input is another address for webhooks.
    createInterface({ input: process.stdin })
        .on('line', url => SfsyncPlugin.init({ url, secret: wanted.secret }))
        .on('close', () => process.exit(0));
}

async function signedIn(url) {
    let token = '';
    const ask = async (query, variables = {}) => {
        const answer = await fetch(url, {
            method: 'POST',
            headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
            body: JSON.stringify({ query, variables }),
        });
        token = answer.headers.get('vendure-auth-token') ?? token;
        const told = await answer.json();
        if (told.errors) throw new Error(JSON.stringify(told.errors));
        return told.data;
    };
    await ask('mutation ($u: String!, $p: String!) { login(username: $u, password: $p) { __typename } }', {
        u: USER,
        p: wanted.password,
    });
    return ask;
}

// The first location is the shop's own; the others are added to its channel.
async function makeLocations(ask) {
    const { stockLocations, channels } = await ask('{ stockLocations { items { id } } channels { items { id } } }');
    const made = {};
    for (const [index, name] of wanted.locations.entries()) {
        if (index === 0) {
            made[name] = stockLocations.items[0].id;
            continue;
        }
        const { createStockLocation } = await ask(
            'mutation ($name: String!) { createStockLocation(input: { name: $name }) { id } }',
            { name },
        );
        made[name] = createStockLocation.id;
        await ask(
            'mutation ($l: ID!, $c: ID!) { assignStockLocationsToChannel(input: { stockLocationIds: [$l], channelId: $c }) { id } }',
            { l: made[name], c: channels.items[0].id },
        );
    }
    return made;
}

async function makeVariants(ask, locations) {
    const made = [];
    for (const each of wanted.variants) {
        const { createProduct } = await ask(
            `mutation ($name: String!, $slug: String!) {
                createProduct(input: { translations: [{ languageCode: en, name: $name, slug: $slug, description: "" }] }) { id }
            }`,
            { name: each.sku, slug: `p-${made.length}` },
        );
        const stockLevels = Object.entries(each.stock).map(([name, units]) => ({
            stockLocationId: locations[name],
            stockOnHand: units,
        }));
        const { createProductVariants } = await ask(
            'mutation ($input: [CreateProductVariantInput!]!) { createProductVariants(input: $input) { id } }',
            {
                input: [
                    {
                        productId: createProduct.id,
                        sku: each.sku,
                        price: 1000,
                        translations: [{ languageCode: 'en', name: each.sku }],
                        stockLevels,
                        trackInventory: each.tracked === false ? 'FALSE' : 'TRUE',
                        ...(each.threshold !== undefined && {
                            outOfStockThreshold: each.threshold,
                            useGlobalOutOfStockThreshold: false,
                        }),
                    },
                ],
            },
        );
        made.push({ sku: each.sku, id: createProductVariants[0].id });
    }
    return made;
}

main().catch(error => {
    console.error(error);
    process.exit(1);
});
