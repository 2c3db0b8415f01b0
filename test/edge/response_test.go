package edge

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/test/pair"
)

// answers are what a hostile or broken upstream says. Behind each of them the next request must get its own answer.
var answers = map[string]string{
	"plain":              "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"chunked":            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
	"until the end":      "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok\x00CLOSE",
	"two lengths":        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 40\r\n\r\nok",
	"both":               "HTTP/1.1 200 OK\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
	"length of rubbish":  "HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nok",
	"negative length":    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok",
	"too much":           "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond",
	"two answers":        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond",
	"204 with a body":    "HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\nsecond",
	"304 with a body":    "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\nsecond",
	"100 then":           "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"103 then":           "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"101 unasked":        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond",
	"status 99":          "HTTP/1.1 99 Low\r\nContent-Length: 2\r\n\r\nok",
	"status 1000":        "HTTP/1.1 1000 High\r\nContent-Length: 2\r\n\r\nok",
	"status in letters":  "HTTP/1.1 2x0 OK\r\nContent-Length: 2\r\n\r\nok",
	"no version":         "200 OK\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.0":           "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok\x00CLOSE",
	"HTTP/2.0":           "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"NUL in a value":     "HTTP/1.1 200 OK\r\nA: b\x00c\r\nContent-Length: 2\r\n\r\nok",
	"space before colon": "HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 2\r\n\r\nok",
	"no colon":           "HTTP/1.1 200 OK\r\nabc\r\nContent-Length: 2\r\n\r\nok",
	"coding unknown":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok\x00CLOSE",
	"size of rubbish":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n",
	"cut":                "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok\x00CLOSE",
	"cut in chunks":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok\x00CLOSE",
	"empty":              "\x00CLOSE",
	"head too large":     "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 100_000) + "\r\nContent-Length: 2\r\n\r\nok",
	"TLS alert":          "\x15\x03\x01\x00\x02\x02\x28",
	"trailers":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nContent-Length: 9\r\nA: b\r\n\r\n",
	"connection named":   "HTTP/1.1 200 OK\r\nConnection: x-a\r\nX-A: b\r\nContent-Length: 2\r\n\r\nok",
	"hop by hop":         "HTTP/1.1 200 OK\r\nKeep-Alive: 5\r\nProxy-Connection: close\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok",
}

// strict are the answers that we judge otherwise than Envoy, and why.
var strict = map[string]string{
	"204 with a body": "the answer is good, what follows it ends the connection; Envoy takes the length for a broken answer",
	"101 unasked":     "nobody has asked for it; Envoy passes it on, and what follows is the answer's for it too",
	"trailers":        "a length in trailers is no part of HTTP (RFC 9110 section 6.5.1): the answer is cut; Envoy leaves the field out",
	"HTTP/2.0":        "there is no such version in HTTP/1's form; Envoy takes it for 1.1",
	"status 1000":     "three digits are a status; Envoy aborts the client's connection",
}

func TestHostileAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go speak(c)
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	said := map[string]map[string]string{}
	for _, plane := range pair.Planes {
		t.Run(plane, func(t *testing.T) {
			p := pair.Start(t, plane, file{}.text(), map[string]string{"app": port})
			said[plane] = map[string]string{}
			for name := range answers {
				said[plane][name] = heard(t, p, "/"+strings.ReplaceAll(name, " ", "%20"))
				for range 2 {
					if got := heard(t, p, "/canary"); got != `200 "canary" whole` {
						t.Errorf("%s: behind %q the next client hears %s", plane, name, got)
					}
				}
			}
		})
	}
	for name, ours := range said[pair.Heddle] {
		theirs, ok := said[pair.Envoy][name]
		if _, known := strict[name]; ok && (ours != theirs) != known {
			t.Errorf("%s:\n\tours    %s\n\tEnvoy's %s", name, ours, theirs)
		}
	}
}

// speak answers what the path asks for, in raw bytes.
func speak(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		text, ok := answers[strings.TrimPrefix(req.URL.Path, "/")]
		if !ok {
			text = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncanary"
		}
		text, closes := strings.CutSuffix(text, "\x00CLOSE")
		if _, err := io.WriteString(c, text); err != nil || closes {
			return
		}
	}
}

// heard is what a client makes of the whole answer: status, body, and whether it was whole; and what came behind it.
func heard(t *testing.T, p *pair.Proxy, path string) string {
	t.Helper()
	c := dial(t, p)
	_, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", path)
	must(t, err)
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return "no answer"
	}
	b, err := io.ReadAll(resp.Body)
	end := "whole"
	if err != nil {
		end = "cut"
	}
	if rest, _ := io.ReadAll(r); len(rest) > 0 {
		end += fmt.Sprintf(", and behind it %q", rest)
	}
	if resp.StatusCode >= 500 {
		b = nil // why is said in other words
	}
	return fmt.Sprintf("%d %q %s", resp.StatusCode, b, end)
}
