package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/heddle-mesh/heddle/internal/loopback"
	"github.com/heddle-mesh/heddle/xds"
)

// largestMessage bounds a response; a state-of-the-world one holds everything at once.
const largestMessage = 256 << 20

// local says that what is sent does not leave the machine.
func (cfg *Config) local() bool {
	if cfg.Dial != nil || strings.HasPrefix(cfg.Target, "unix:") {
		return true
	}
	return loopback.Is(cfg.Target)
}

// bearer sends the token of a file, or what stands for it.
type bearer struct {
	file   string
	read   func() (string, error)
	secure bool
}

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	if b.read != nil {
		t, err := b.read()
		if err != nil || t == "" {
			return nil, err
		}
		return map[string]string{"authorization": "Bearer " + t}, nil
	}
	t, err := os.ReadFile(b.file)
	if err != nil {
		return nil, fmt.Errorf("read the token: %w", err)
	}
	return map[string]string{"authorization": "Bearer " + strings.TrimSpace(string(t))}, nil
}

func (b bearer) RequireTransportSecurity() bool { return b.secure }

func (c *Client) dial() (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if c.cfg.TLS != nil {
		creds = credentials.NewTLS(c.cfg.TLS)
	}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(creds), grpc.WithNoProxy(), grpc.WithDisableServiceConfig(),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(largestMessage)),
	}
	if c.cfg.TokenFile != "" {
		opts = append(opts, grpc.WithPerRPCCredentials(bearer{c.cfg.TokenFile, c.cfg.Token, c.cfg.TLS != nil}))
	}
	target := c.cfg.Target
	if c.cfg.Dial != nil {
		opts, target = append(opts, grpc.WithContextDialer(c.cfg.Dial)), "passthrough:///"+target
	}
	return grpc.NewClient(target, opts...)
}

// wire is one open stream in either form.
type wire interface {
	send(c *Client, node *corev3.Node, t *subscription, answer *answer) error
	tell(node *corev3.Node, detail *status.Status) error // of health; nil is good
	recv() (*response, error)
}

// response is one message from the server.
type response struct {
	url, nonce, version string
	resources           []*xds.Resource
	removed             []string
}

// answer acknowledges or refuses a response.
type answer struct {
	nonce string
	err   error
}

// detail is the error_detail of a refusal.
func (a *answer) detail() *status.Status {
	if a == nil || a.err == nil {
		return nil
	}
	return &status.Status{Code: int32(codes.InvalidArgument), Message: a.err.Error()}
}

// stream opens one stream and lives with it. heard says whether the server ever answered.
func (c *Client) stream(ctx context.Context) (heard bool, err error) {
	conn, err := c.dial()
	if err != nil {
		return false, fmt.Errorf("dial %s: %w", c.cfg.Target, err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := c.open(ctx, conn)
	if err != nil {
		return false, fmt.Errorf("open an xDS stream to %s: %w", c.cfg.Target, err)
	}
	c.mu.Lock()
	for _, t := range c.order {
		t.reset()
	}
	c.untold = c.health != nil
	c.mu.Unlock()
	responses, failed := make(chan *response), make(chan error, 1)
	go func() {
		for {
			r, err := w.recv()
			if err != nil {
				failed <- err
				return
			}
			select {
			case responses <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	node := c.cfg.Node // with the first request only
	if err := c.flush(w, &node); err != nil {
		return false, errors.Join(err, ended(failed))
	}
	for {
		select {
		case r := <-responses:
			if !heard {
				heard = true
				c.cfg.Handler.OnStream(true, nil)
			}
			if err := c.handle(w, r); err != nil {
				return heard, err
			}
		case <-c.poke:
		case err := <-failed:
			return heard, err
		case <-ctx.Done():
			return heard, ctx.Err()
		}
		if err := c.flush(w, &node); err != nil {
			return heard, errors.Join(err, ended(failed))
		}
	}
}

// ended is why the stream ended if that is known already: a failed write says only EOF.
func ended(failed <-chan error) error {
	select {
	case err := <-failed:
		return err
	case <-time.After(time.Second):
		return nil
	}
}

func (c *Client) open(ctx context.Context, conn *grpc.ClientConn) (wire, error) {
	ads := discoveryv3.NewAggregatedDiscoveryServiceClient(conn)
	if c.cfg.StateOfTheWorld {
		s, err := ads.StreamAggregatedResources(ctx)
		return &world{s}, err
	}
	s, err := ads.DeltaAggregatedResources(ctx)
	return &delta{s}, err
}

// flush tells the server what is wanted since the last time.
func (c *Client) flush(w wire, node **corev3.Node) error {
	c.mu.Lock()
	order := append([]*subscription(nil), c.order...)
	c.mu.Unlock()
	for _, t := range order {
		c.mu.Lock()
		need := !t.opened && t.wanted() || t.opened && (len(t.add) > 0 || c.cfg.StateOfTheWorld && t.changed)
		c.mu.Unlock()
		if !need {
			continue
		}
		if err := w.send(c, *node, t, nil); err != nil {
			return err
		}
		*node = nil
	}
	c.mu.Lock()
	h, untold := c.health, c.untold
	c.untold = false
	c.mu.Unlock()
	if !untold {
		return nil
	}
	var detail *status.Status
	if !h.good {
		detail = &status.Status{Code: int32(codes.Unavailable), Message: h.message}
	}
	err := w.tell(*node, detail)
	*node = nil
	return err
}

// handle gives a response to the Handler and answers it.
func (c *Client) handle(w wire, r *response) error {
	c.mu.Lock()
	t := c.types[r.url]
	if t != nil && c.cfg.StateOfTheWorld {
		r.removed = t.absent(r)
	}
	c.mu.Unlock()
	if t == nil {
		return fmt.Errorf("the server sent type %q, which nobody asked for", r.url)
	}
	err := c.cfg.Handler.OnResponse(r.url, r.resources, r.removed)
	c.mu.Lock()
	t.took(r, err)
	c.mu.Unlock()
	return w.send(c, nil, t, &answer{nonce: r.nonce, err: err})
}

// took records what is held after the Handler's verdict.
func (t *subscription) took(r *response, err error) {
	t.nonce = r.nonce
	refused := map[string]bool{}
	var some *Rejection
	switch {
	case err == nil:
		t.version = r.version
	case errors.As(err, &some):
		for _, f := range some.Resources {
			refused[f.Name] = true
		}
	default:
		return
	}
	for _, x := range r.resources {
		if !refused[x.Name.Name] && t.covers(x.Name.Name) {
			t.held[x.Name.Name] = x.Version
		}
	}
	for _, name := range r.removed {
		delete(t.held, name)
	}
}

// absent is what a state-of-the-world response leaves out: only listeners and clusters are complete in it.
func (t *subscription) absent(r *response) (removed []string) {
	if t.url != xds.Listener && t.url != xds.Cluster {
		return nil
	}
	present := map[string]bool{}
	for _, x := range r.resources {
		present[x.Name.Name] = true
	}
	for name := range t.held {
		if !present[name] {
			removed = append(removed, name)
		}
	}
	return removed
}
