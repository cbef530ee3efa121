"""Answers over TLS, as a service of its own user would."""

import http.server
import ssl

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/etc/lbt-web/tls/lbt_web.crt", "/etc/lbt-web/tls/lbt_web.key")
server = http.server.ThreadingHTTPServer(("", 8443), http.server.SimpleHTTPRequestHandler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
