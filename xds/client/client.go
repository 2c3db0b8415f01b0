// Package client is an ADS client, delta or state-of-the-world, over one stream that is opened again with jittered back-off.
//
// In: subscriptions by type and name. Out: calls of a Handler with encoded resources; its error becomes a rejection (NACK). After a reconnect the client announces
// the versions that it holds, so that only differences come. Subscribe and Unsubscribe are safe from any goroutine, also from the Handler, which is called from one.
package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/heddle-mesh/heddle/internal/backoff"
)

// Config is what a Client is made of.
type Config struct {
	Target          string                                          // HOST:PORT or unix:PATH
	Dial            func(context.Context, string) (net.Conn, error) // instead of the network; nil is the network
	TLS             *tls.Config                                     // nil: plaintext
	TokenFile       string                                          // a bearer token, read anew for every stream; "" for none
	Token           func() (string, error)                          // instead of reading TokenFile; "" sends none, since something else proves who the client is
	Node            *corev3.Node
	StateOfTheWorld bool // instead of delta
	Handler         Handler
	Backoff         backoff.Backoff // between streams
	Log             *slog.Logger
}

// Client is an ADS client. Make it with New.
type Client struct {
	cfg  Config
	log  *slog.Logger
	poke chan struct{}

	mu    sync.Mutex // not held while the Handler runs or the stream is written
	types map[string]*subscription
	order []*subscription // as first subscribed: the order of the first requests of a stream
	// health is what was found out about the workload, nil before the first word; untold says that the server has not heard of it on this stream.
	health *health
	untold bool
}

// health is a verdict on the workload beside the client.
type health struct {
	good    bool
	message string
}

// Health tells the server what was found out about the workload: on this stream, and first thing on each that follows.
func (c *Client) Health(good bool, message string) {
	c.mu.Lock()
	c.health, c.untold = &health{good, message}, true
	c.mu.Unlock()
	c.wake()
}

// New checks the configuration.
func New(cfg Config) (*Client, error) {
	switch {
	case cfg.Handler == nil:
		return nil, errors.New("xDS client: no handler")
	case cfg.Target == "" && cfg.Dial == nil:
		return nil, errors.New("xDS client: no address of a server; want HOST:PORT or unix:PATH")
	case cfg.Node.GetId() == "":
		return nil, errors.New("xDS client: the node has no id")
	case cfg.TokenFile != "" && cfg.TLS == nil && !cfg.local():
		return nil, fmt.Errorf("xDS client: the token would cross the network to %s in the clear; use TLS, a loopback address or a unix socket", cfg.Target)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Client{cfg: cfg, log: cfg.Log, poke: make(chan struct{}, 1), types: map[string]*subscription{}}, nil
}

// Subscribe asks for resources of a type by name, or, without names, for all that the server has for this client.
func (c *Client) Subscribe(typeURL string, names ...string) {
	c.mu.Lock()
	t := c.types[typeURL]
	if t == nil {
		t = newSubscription(typeURL)
		c.types[typeURL] = t
		c.order = append(c.order, t)
	}
	if len(names) == 0 {
		t.subscribeAll()
	}
	for _, n := range names {
		t.subscribe(n)
	}
	c.mu.Unlock()
	c.wake()
}

// Unsubscribe gives names up, or, without names, the whole list. What is given up is forgotten without a call of the Handler.
func (c *Client) Unsubscribe(typeURL string, names ...string) {
	c.mu.Lock()
	if t := c.types[typeURL]; t != nil {
		if len(names) == 0 {
			t.unsubscribeAll()
		}
		for _, n := range names {
			t.unsubscribe(n)
		}
	}
	c.mu.Unlock()
	c.wake()
}

// Versions is what the client holds of a type: name → version, as accepted.
func (c *Client) Versions(typeURL string) map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]string{}
	if t := c.types[typeURL]; t != nil {
		for n, v := range t.held {
			out[n] = v
		}
	}
	return out
}

func (c *Client) wake() {
	select {
	case c.poke <- struct{}{}:
	default:
	}
}

// Run keeps a stream open until the context ends, whose error it returns. Handler and subscriptions outlive each stream.
func (c *Client) Run(ctx context.Context) error {
	wait := c.cfg.Backoff
	for {
		heard, err := c.stream(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if heard {
			wait.Reset()
			c.cfg.Handler.OnStream(false, err)
		}
		c.log.Warn("xDS stream ended", "server", c.cfg.Target, "error", err)
		if err := wait.Sleep(ctx); err != nil {
			return err
		}
	}
}
