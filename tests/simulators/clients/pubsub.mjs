// salesforce-pubsub-api-client against the simulated org, gRPC over TLS: prints as JSON what it got. READY is the
// org's ready line, MODULES a folder whose node_modules has the client.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const found = createRequire(`${process.env.MODULES}/`).resolve('salesforce-pubsub-api-client');
const loaded = await import(pathToFileURL(found));
const PubSubApiClient = loaded.default?.default ?? loaded.default;
const ready = JSON.parse(process.env.READY);
const quiet = { debug() {}, info() {}, warn() {}, error: console.error };

async function connect() {
  const client = new PubSubApiClient({
    authType: 'oauth-client-credentials',
    loginUrl: ready.http_url,
    clientId: ready.client_id,
    clientSecret: ready.client_secret,
    pubSubEndpoint: ready.grpc_tls,
    rejectUnauthorizedSsl: false,
  }, quiet);
  await client.connect();
  return client;
}

// Collects `count` events; `subscribe` is called with the callback and tells the client to listen.
function take(count, subscribe) {
  return new Promise((resolve, reject) => {
    const seen = [];
    subscribe((subscription, kind, data) => {
      if (kind === 'error') reject(data);
      if (kind !== 'event') return;
      seen.push(data);
      if (seen.length === count) resolve(seen);
    });
  });
}

const topic = '/event/StockEvent__e';
const changes = '/data/SfsyncStock__chn';
const sale = (id) => ({
  CreatedDate: Date.now(),
  CreatedById: '005Wt0000000001IAA',
  Sku__c: { string: 'A' },
  LocationCode__c: { string: 'L' },
  Kind__c: { string: 'Sale' },
  Quantity__c: { double: -1 },
  SourceId__c: { string: id },
});

const client = await connect();
const got = {};
const published = await client.publish(topic, sale('node-0'), 'before');  // establishes the topic's schema before anybody listens
const live = take(2, (callback) => client.subscribe(topic, callback, 10));
const listening = take(1, (callback) => client.subscribeFromEarliestEvent(changes, callback, 10));
// Subscriptions start at the newest event: publish until both are there, then the first two count.
const timer = setInterval(() => client.publish(topic, sale('node-1'), 'during'), 200);
const events = await live;
clearInterval(timer);
got.live = events.map((event) => event.payload.SourceId__c);
const other = await connect();
const replayed = await take(1, (callback) => other.subscribeFromReplayId(topic, callback, 1, events[0].replayId));
const third = await connect();
const after = await take(1, (callback) => third.subscribeFromReplayId(topic, callback, 1, published.replayId));
got.published = [published.correlationKey, after[0].payload.SourceId__c];  // its position is a place to begin from
got.replayed = replayed[0].replayId === events[1].replayId;
const [change] = await listening;
const header = change.payload.ChangeEventHeader;
got.change = [header.entityName, header.changeType, change.payload.OnHandDelta__c, change.payload.StockLevel__c];
client.close();
other.close();
third.close();
console.log(JSON.stringify(got));
process.exit(0);
