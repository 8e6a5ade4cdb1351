// jsforce against the simulated org: prints as JSON what it got. READY is the org's ready line, MODULES a folder
// whose node_modules has jsforce.
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.MODULES}/`);
const jsforce = require('jsforce');
const { StreamingExtension } = require('jsforce/lib/api/streaming');
const ready = JSON.parse(process.env.READY);
const oauth2 = { loginUrl: ready.http_url, clientId: ready.client_id, clientSecret: ready.client_secret };
const org = new jsforce.Connection({ loginUrl: ready.http_url, version: '67.0', oauth2 });
await org.authorize({ grant_type: 'client_credentials' });

const got = {};
got.organization = (await org.identity()).organization_id;

const levels = org.sobject('StockLevel__c');
const level = (place) => ({ LevelKey__c: `JS|${place}`, Sku__c: 'JS', LocationCode__c: place });
const created = await levels.create(level('L'));
got.refused = await levels.create(level('L')).catch((error) => error.errorCode);
got.upserted = await Promise.all([0, 1].map(async () => (await levels.upsert(level('M'), 'LevelKey__c')).success));
got.updated = (await levels.update({ Id: created.id, Unit__c: '1' })).success;

const receipts = Array.from({ length: 450 }, (_, number) => ({
  StockLevel__c: created.id, Kind__c: 'Receipt', OnHandDelta__c: 1, IdempotencyKey__c: `js-${number}`,
}));
const saved = await org.sobject('StockMovement__c').create(receipts, { allowRecursive: true });
got.saved = saved.filter((result) => result.success).length;
got.onHand = (await levels.retrieve(created.id)).OnHand__c;

const ofLevel = `SELECT Id, StockLevel__r.LevelKey__c FROM StockMovement__c WHERE StockLevel__c = '${created.id}'`;
const headers = { 'Sforce-Query-Options': 'batchSize=200' };
const paged = await org.query(ofLevel, { autoFetch: true, maxFetch: 10_000, headers });
got.paged = [paged.totalSize, paged.records.length, paged.records[449].StockLevel__r.LevelKey__c];
const newest = await levels.find({ Sku__c: 'JS' }, 'LevelKey__c').sort({ LevelKey__c: -1 }).limit(1).execute();
got.newest = newest[0].LevelKey__c;
got.fields = (await org.describe('StockLevel__c')).fields.filter((field) => field.calculated).map((field) => field.name);
const sobjects = '/services/data/v67.0/sobjects';
got.composite = (await org.requestPost('/services/data/v67.0/composite', {
  allOrNone: true,
  compositeRequest: [
    { method: 'POST', url: `${sobjects}/StockLevel__c`, referenceId: 'made', body: level('N') },
    {
      method: 'POST', url: `${sobjects}/StockMovement__c`, referenceId: 'moved',
      body: { StockLevel__c: '@{made.id}', Kind__c: 'Receipt', OnHandDelta__c: 7, IdempotencyKey__c: 'js-composite' },
    },
    { method: 'GET', url: `${sobjects}/StockLevel__c/@{made.id}?fields=OnHand__c`, referenceId: 'read' },
  ],
})).compositeResponse.map((part) => [part.httpStatusCode, part.body.OnHand__c ?? null]);

// Somebody else's slow transaction holds the level; then an order is activated, and may not be emptied any more.
const control = (path, body) => fetch(`${ready.control_url}${path}`, { method: 'POST', body: JSON.stringify(body) });
await control('/knobs', { lock_wait_seconds: 0.05 });
await control('/locks', { id: created.id, seconds: 2 });
got.locked = await levels.update({ Id: created.id, Unit__c: '2' }).catch((error) => error.errorCode);
await control('/knobs', { lock_wait_seconds: 10 });
const product = await org.sobject('Product2').create({ Name: 'Bag', ProductCode: 'JS' });
const order = await org.sobject('Order').create({ Status: 'Draft', EffectiveDate: '2026-11-23' });
const item = await org.sobject('OrderItem').create({ OrderId: order.id, Product2Id: product.id, Quantity: 2 });
await org.sobject('Order').update({ Id: order.id, Status: 'Activated' });
const activated = await org.sobject('Order').retrieve(order.id);
got.order = [activated.StatusCode, await org.sobject('OrderItem').destroy(item.id).catch((error) => error.errorCode)];

const bulk = await org.bulk2.query('SELECT Id, OnHandDelta__c FROM StockMovement__c', { pollInterval: 50 });
got.bulk = (await bulk.toArray()).length;
got.usage = org.limitInfo.apiUsage.limit;

// Streaming: a first subscriber, then a second one that replays what the first one saw.
const sale = (id) => ({ Sku__c: 'JS', LocationCode__c: 'L', Kind__c: 'Sale', Quantity__c: -1, SourceId__c: id });
const channel = '/event/StockEvent__e';
const take = (client, count) => new Promise((resolve) => {
  const seen = [];
  client.subscribe(channel, (message) => {
    seen.push([message.payload.SourceId__c, message.event.replayId]);
    if (seen.length === count) resolve(seen);
  }).then(() => client.ready?.());
});
const live = org.streaming.createClient([]);
const listening = new Promise((resolve) => { live.ready = resolve; });
const first = take(live, 2);
await listening;
await org.sobject('StockEvent__e').create(sale('js-1'));
await org.sobject('StockEvent__e').create(sale('js-2'));
got.live = await first;
const replaying = org.streaming.createClient([new StreamingExtension.Replay(channel, got.live[0][1])]);
got.replayed = await take(replaying, 1);

await levels.destroy(created.id);
await levels.destroy((await levels.find({ LevelKey__c: 'JS|N' }, 'Id'))[0].Id);
got.everything = (await org.query('SELECT Id FROM StockMovement__c', { scanAll: true })).totalSize;
got.left = (await org.query('SELECT Id FROM StockMovement__c')).totalSize;
console.log(JSON.stringify(got));
process.exit(0);
