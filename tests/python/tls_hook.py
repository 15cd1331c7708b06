"""A hook of Python's own HTTP and TLS. It is told which certificate and which key it has, says at which port it is, and says
each question that it is asked and how many connections there were. What has `no` in its text is denied."""

import http.server
import json
import socketserver
import ssl
import sys

from adapter import say


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    connections = 0

    def handle_error(self, *_):
        """Whoever does not believe it breaks off; that is what some are here for."""


class Hook(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        self.request.do_handshake()
        self.server.connections += 1
        super().setup()

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        say("asked", host=self.headers["host"], connections=self.server.connections, question=asked)
        if "no" in asked["message"]["text"]:
            answer = {"result": "deny", "code": 0x97, "text": "not here"}
        else:
            answer = {"result": "allow"}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server = Server(("127.0.0.1", 0), Hook)
# Each connection shakes hands in its own thread.
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
say("listens", port=server.server_address[1])
server.serve_forever()
