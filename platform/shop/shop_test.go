package shop_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/heddle-mesh/heddle/platform/shop"
)

// TestTheShopWorksWithoutAMesh: every part serves, and a purchase goes three hops deep to the ledger.
func TestTheShopWorksWithoutAMesh(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	where := map[string]string{}
	var listeners []net.Listener
	for _, p := range shop.Parts() {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
		where[p.Name] = l.Addr().String()
	}
	var running sync.WaitGroup
	for i, p := range shop.Parts() {
		p.FailEvery = 0
		running.Go(func() {
			if err := shop.Serve(ctx, p, listeners[i], func(name string) string { return where[name] }, log); err != nil {
				t.Error(err)
			}
		})
	}
	for path, want := range map[string]int{"/": 200, "/checkout": 200, "/nothing": 404} {
		resp, err := http.Get("http://" + where["web"] + path)
		if err != nil {
			t.Fatal(err)
		}
		var a struct {
			Service string
			Calls   []struct {
				Service string
				Calls   []struct{ Service string }
			}
		}
		err = json.NewDecoder(resp.Body).Decode(&a)
		resp.Body.Close()
		if err != nil || resp.StatusCode != want || a.Service != "web" {
			t.Errorf("%s: %d, %+v, %v", path, resp.StatusCode, a, err)
		}
		if path == "/checkout" && (len(a.Calls) != 2 || len(a.Calls[1].Calls) != 1 || a.Calls[1].Calls[0].Service != "payment") {
			t.Errorf("a purchase does not reach payment: %+v", a)
		}
	}
	cancel()
	running.Wait()
}
