package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const explicitHTTP2 = `, "http2_protocol_options": {}}`

// version makes a client or server speak HTTP/1.1 or HTTP/2 (in clear, by prior knowledge) alone.
func version(second bool) *http.Protocols {
	p := &http.Protocols{}
	p.SetHTTP1(!second)
	p.SetUnencryptedHTTP2(second)
	return p
}

// upstreamOf is a server of one version; it echoes, answers with trailers, and tells of requests that were given up.
func upstreamOf(t *testing.T, second bool, gone *atomic.Int64) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Protocols: version(second), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/echo":
			w.Header().Set("X-Proto", r.Proto)
			w.Header().Set("X-Host", r.Host)
			w.Header().Set("X-Cookie", r.Header.Get("Cookie"))
			_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/2 always is
			_, _ = io.Copy(w, r.Body)
		case "/trailers":
			w.Header().Set("Trailer", "X-Sum")
			fmt.Fprint(w, "body")
			w.(http.Flusher).Flush() // a body of a known length has no trailers in HTTP/1.1
			w.Header().Set("X-Sum", "5")
		case "/wait":
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			gone.Add(1)
		case "/empty":
			w.WriteHeader(http.StatusNoContent)
		default:
			time.Sleep(5 * time.Millisecond)
			fmt.Fprintf(w, "hello %s", r.URL.Path)
		}
	})}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}

// crossing is a client of one version that asks an upstream of another through a proxy.
type crossing struct {
	*proxy
	client *http.Client
	url    string
	gone   atomic.Int64 // requests that the upstream saw given up
	up2    bool
}

func cross(t *testing.T, front2, up2 bool) *crossing {
	t.Helper()
	at, x := free(t), &crossing{up2: up2}
	up := cluster(upstreamOf(t, up2, &x.gone))
	if up2 {
		up = strings.TrimSuffix(up, "}") + explicitHTTP2
	}
	x.proxy = start(t, bootstrap(listener("front", at, ""), up))
	x.proxy.ready(t)
	x.url = "http://" + at
	transport := &http.Transport{Protocols: version(front2)}
	t.Cleanup(transport.CloseIdleConnections)
	x.client = &http.Client{Transport: transport, Timeout: 30 * time.Second}
	return x
}

// TestVersionsCross: whatever a client and an upstream speak, requests, bodies and trailers go through whole, and what is given up is given up on the other side.
func TestVersionsCross(t *testing.T) {
	for _, front2 := range []bool{false, true} {
		for _, up2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("http2 %t to http2 %t", front2, up2), func(t *testing.T) {
				x := cross(t, front2, up2)
				x.echoes(t)
				x.ends(t)
				x.givesUp(t)
			})
		}
	}
}

func (x *crossing) echoes(t *testing.T) {
	t.Helper()
	big := make([]byte, 3<<20)
	_, _ = rand.Read(big)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			body := big[:len(big)>>i]
			req, err := http.NewRequest(http.MethodPost, x.url+"/echo", bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			req.AddCookie(&http.Cookie{Name: "a", Value: "1"})
			req.AddCookie(&http.Cookie{Name: "b", Value: "2"})
			resp, err := x.client.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[x.up2]
			if err != nil || !bytes.Equal(got, body) || resp.Header.Get("X-Proto") != want || "http://"+resp.Header.Get("X-Host") != x.url || resp.Header.Get("X-Cookie") != "a=1; b=2" {
				t.Errorf("%d of %d bytes came back, %v, %v", len(got), len(body), err, resp.Header)
			}
		})
	}
	wg.Wait()
}

// ends: a response without a body, and one with trailers behind it.
func (x *crossing) ends(t *testing.T) {
	t.Helper()
	resp, err := x.client.Get(x.url + "/empty")
	if err != nil || resp.StatusCode != http.StatusNoContent {
		t.Fatalf("%v, %v", resp, err)
	}
	_ = resp.Body.Close()
	req, err := http.NewRequest(http.MethodGet, x.url+"/trailers", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("TE", "trailers")
	if resp, err = x.client.Do(req); err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "body" || resp.Trailer.Get("X-Sum") != "5" {
		t.Errorf("%q, %v, trailers %v", body, err, resp.Trailer)
	}
}

// givesUp: a client that leaves in the middle of a response ends the request at the upstream.
func (x *crossing) givesUp(t *testing.T) {
	t.Helper()
	before := x.gone.Load()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, x.url+"/wait", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := x.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = resp.Body.Close()
	for end := time.Now().Add(5 * time.Second); x.gone.Load() == before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the upstream does not hear that the client has gone")
		}
	}
	if code, body, err := get(x.client, x.url+"/after"); err != nil || code != 200 || body != "hello /after" {
		t.Errorf("afterwards: %d %q %v", code, body, err)
	}
}

// TestOneConnectionIsShared: many requests at once of one client go over one connection, and over one to the upstream.
func TestOneConnectionIsShared(t *testing.T) {
	x := cross(t, true, true)
	if code, _, err := get(x.client, x.url+"/first"); err != nil || code != 200 {
		t.Fatal(code, err)
	}
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			path := fmt.Sprintf("/%d", i)
			if code, body, err := get(x.client, x.url+path); err != nil || code != 200 || body != "hello "+path {
				t.Errorf("%d %q %v", code, body, err)
			}
		})
	}
	wg.Wait()
	_, stats := x.page(t, "/stats?usedonly")
	for _, want := range []string{"http.t.downstream_cx_total: 1\n", "http.t.downstream_rq_total: 201\n", "cluster.app.upstream_cx_total: 1\n", "cluster.app.upstream_rq_total: 201\n"} {
		if !strings.Contains(stats, want) {
			t.Errorf("%q is not in\n%s", want, stats)
		}
	}
}

// TestDrainingLosesNoStream is TestDrainingLosesNoRequest for clients of HTTP/2.
func TestDrainingLosesNoStream(t *testing.T) {
	x := cross(t, true, false)
	var good, refused atomic.Int64
	end := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
				}
				code, _, err := get(x.client, x.url+"/x")
				switch {
				case err == nil && code == 200:
					good.Add(1)
				case err != nil && strings.Contains(err.Error(), "connection refused"):
					refused.Add(1)
					time.Sleep(5 * time.Millisecond)
				default:
					t.Errorf("status %d, %v", code, err)
				}
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	x.stop()
	if err := x.wait(); err != nil {
		t.Errorf("the end: %v", err)
	}
	close(end)
	wg.Wait()
	if good.Load() < 50 || refused.Load() == 0 {
		t.Errorf("%d good, %d refused", good.Load(), refused.Load())
	}
}

// TestABrokenRequestHurtsNobodyElse: a request that breaks the protocol is answered with 400 and reset; others on its connection go on.
func TestABrokenRequestHurtsNobodyElse(t *testing.T) {
	x := cross(t, true, false)
	c, err := net.Dial("tcp", strings.TrimPrefix(x.url, "http://"))
	must(t, err)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(c, http2.ClientPreface)
	f := http2.NewFramer(c, c)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	must(t, f.WriteSettings())
	var head bytes.Buffer
	e := hpack.NewEncoder(&head)
	ask := func(stream uint32, fields ...[2]string) {
		head.Reset()
		for _, x := range append([][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "h"}, {":path", "/x"}}, fields...) {
			must(t, e.WriteField(hpack.HeaderField{Name: x[0], Value: x[1]}))
		}
		must(t, f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head.Bytes(), EndHeaders: true, EndStream: true}))
	}
	ask(1)
	ask(3, [2]string{"connection", "close"})
	ask(5)
	status, reset := map[uint32]string{}, map[uint32]http2.ErrCode{}
	for len(status) < 3 || len(reset) < 1 {
		frame, err := f.ReadFrame()
		must(t, err)
		switch x := frame.(type) {
		case *http2.MetaHeadersFrame:
			status[x.StreamID] = x.PseudoValue("status")
		case *http2.RSTStreamFrame:
			reset[x.StreamID] = x.ErrCode
		case *http2.GoAwayFrame:
			t.Fatal(x)
		}
	}
	if status[1] != "200" || status[3] != "400" || status[5] != "200" || len(reset) != 1 || reset[3] != http2.ErrCodeProtocol {
		t.Errorf("%v, %v", status, reset)
	}
}
