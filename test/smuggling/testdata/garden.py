"""Parses recorded connections of HTTP/1 with h11. In: a line of JSON for each, {http2, bytes (base64)}. Out: a line of JSON for each, the requests. Exit status 77: h11 is not here."""
import base64
import json
import sys

try:
    import h11
except ImportError:
    sys.exit(77)

for line in sys.stdin:
    requests, current = [], None
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(base64.b64decode(json.loads(line)["bytes"]))
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            break
        if event in (h11.NEED_DATA, h11.PAUSED):
            break
        if isinstance(event, h11.Request):
            text = lambda b: b.decode("latin-1")
            values = lambda name: [text(v) for k, v in event.headers if k == name]
            current = {"Method": text(event.method), "Host": "".join(values(b"host")), "Path": text(event.target), "Role": values(b"x-role"), "Front": values(b"x-front"), "Bytes": -1}
            requests.append(current)
            length = 0
        elif isinstance(event, h11.Data):
            length += len(event.data)
        elif isinstance(event, h11.EndOfMessage):
            current["Bytes"] = length
            try:
                connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                connection.start_next_cycle()
            except h11.LocalProtocolError:
                break
    print(json.dumps(requests))
