"""Generated stubs of the Pub/Sub API: made by scripts/protos.py from `pubsub_api.proto`, never edited."""
