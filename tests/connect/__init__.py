"""How an API server is found, reached and believed: real sockets on loopback, injected clocks."""
