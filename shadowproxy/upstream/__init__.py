"""One HTTP/1.1 client for all we ask: the gateway's primary and the mirror's copies. Pooled protocol objects, no task per request."""
