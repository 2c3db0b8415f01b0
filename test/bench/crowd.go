package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/heddle-mesh/heddle/data/proxy/announce"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/config/decode"
	"github.com/heddle-mesh/heddle/data/proxy/config/live"
	"github.com/heddle-mesh/heddle/data/proxy/secret"
	"github.com/heddle-mesh/heddle/xds"
	"github.com/heddle-mesh/heddle/xds/client"
)

// crowd is the proxies of all pods as far as heddled can tell: for each a stream of delta xDS and a question for a certificate, both over TLS with the token of the
// pod's account. They ask for what heddle-proxy asks for, and put nothing into force. What a resource refers to is read once for all of them.
type crowd struct {
	o       *populace
	tokens  []string       // files, by service
	want    map[string]int // type → resources that a proxy gets
	decoder decode.Decoder
	known   sync.Map // version → []string, what a resource refers to

	all      []*follower
	stop     context.CancelFunc
	running  sync.WaitGroup
	complete atomic.Int64
	synced   chan struct{} // closed when all are complete
	watched  atomic.Pointer[watched]
}

// followed are the types of a proxy that answers no names.
var followed = []string{xds.Cluster, xds.Endpoints, xds.Listener, xds.Route, xds.VirtualHost}

// newCrowd gets a token for each account.
func newCrowd(o *populace) (*crowd, error) {
	c := &crowd{o: o, tokens: make([]string, o.services)}
	return c, each(o.services, func(i int) error {
		hour := int64(3600 * 12)
		t, err := o.p.typed.CoreV1().ServiceAccounts(namespaceOf(i)).CreateToken(context.Background(), nameOf(i),
			&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"istio-ca"}, ExpirationSeconds: &hour}}, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("ask for a token: %w", err)
		}
		c.tokens[i] = o.p.path(fmt.Sprintf("token-%d", i))
		return os.WriteFile(c.tokens[i], []byte(t.Status.Token), 0o600)
	})
}

// workload is the pod that a proxy stands for.
func (c *crowd) workload(pod int) *announce.Workload {
	service := pod % c.o.services
	return &announce.Workload{Kind: announce.Sidecar, Name: podName(nameOf(service), pod), Namespace: namespaceOf(service), Account: nameOf(service), IPs: []netip.Addr{addressOf(pod)},
		Labels: map[string]string{"app": nameOf(service), "version": "v1", "pod-template-hash": "6f7c9d8b54"}, ClusterID: "Kubernetes", Mesh: "cluster.local", TrustDomain: "cluster.local",
		DNSDomain: "cluster.local", Interception: "REDIRECT", Agent: "heddle-proxy", Version: "dev", Features: announce.Features()}
}

// client prepares the xDS stream of a pod's proxy.
func (c *crowd) client(pod int, h client.Handler) (*client.Client, error) {
	node, err := c.workload(pod).Node()
	if err != nil {
		return nil, err
	}
	channel := c.channel(pod)
	roots, err := c.o.p.roots()
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{Target: channel.Address, TokenFile: channel.TokenFile, TLS: clientTLS(roots), Node: node, Handler: h})
}

func (c *crowd) channel(pod int) secret.Channel {
	return secret.Channel{Address: c.o.p.xds, TokenFile: c.tokens[pod%c.o.services], RootCert: c.o.p.rootFile(), ClusterID: "Kubernetes"}
}

// scout is a whole configuration of heddle-proxy, in the place of the first pod's proxy: it says which resources a proxy asks for and gets.
func (c *crowd) scout() (map[string][]string, error) {
	l := live.New(live.Options{Decoder: &decode.Decoder{Identity: true}, Apply: func(*config.Config) error { return nil }, Secret: func(string, *config.SecretRef) {}, Log: slog.New(slog.DiscardHandler)})
	defer l.Close()
	x, err := c.client(0, l)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = x.Run(ctx) }() // it ends with its context only
	defer func() { cancel(); <-done }()
	l.Follow(x, true, xds.Cluster, xds.Listener)
	names := func() map[string][]string {
		out := map[string][]string{}
		for _, url := range followed {
			out[url] = slices.Sorted(maps.Keys(x.Versions(url)))
		}
		return out
	}
	var last map[string][]string
	err = patience("a proxy's first configuration", 30*time.Second, func() error {
		if !l.Ready() {
			return errors.New("it is not complete")
		}
		now := names()
		same := last != nil && maps.EqualFunc(last, now, func(a, b []string) bool { return slices.Equal(a, b) })
		last = now
		time.Sleep(500 * time.Millisecond)
		if !same || len(now[xds.VirtualHost]) == 0 {
			return errors.New("more comes")
		}
		return nil
	})
	c.want = map[string]int{}
	for url, list := range last {
		c.want[url] = len(list)
	}
	return last, err
}

// connect starts the proxies of n pods at once and waits until each has everything.
func (c *crowd) connect(n int) error {
	ctx, cancel := context.WithCancel(context.Background())
	c.stop, c.synced, c.all = cancel, make(chan struct{}), make([]*follower, n)
	c.complete.Store(0)
	for i := range n {
		f := &follower{c: c, have: map[xds.Name]struct{}{}, got: map[string]int{}}
		x, err := c.client(i, f)
		if err != nil {
			return err
		}
		authority, err := secret.NewClient(c.channel(i))
		if err != nil {
			return err
		}
		id, err := c.workload(i).ID()
		if err != nil {
			return err
		}
		f.client, c.all[i] = x, f
		x.Subscribe(xds.Cluster)
		x.Subscribe(xds.Listener)
		rotation := &secret.Rotation{CA: authority, ID: id.String(), Log: slog.New(slog.DiscardHandler)}
		rotation.Subscribe(func(*secret.SVID) { f.certified() })
		c.running.Go(func() { _ = rotation.Run(ctx) }) // these end with ctx only
		c.running.Go(func() { _ = x.Run(ctx) })
	}
	select {
	case <-c.synced:
		return nil
	case <-time.After(5 * time.Minute):
		return fmt.Errorf("%d of %d proxies have everything after 5 minutes", c.complete.Load(), n)
	}
}

// disconnect ends all of them.
func (c *crowd) disconnect() {
	c.stop()
	c.running.Wait()
	c.all = nil
}

// watched is something new that every proxy must get.
type watched struct {
	url    string
	needle []byte
	left   atomic.Int64
	done   chan struct{}
}

// await says how long after the call of f, which makes a change, the last proxy has what the change brings: a resource with the text in it.
func (c *crowd) await(url, needle string, change func() error) (time.Duration, error) {
	w := &watched{url: url, needle: []byte(needle), done: make(chan struct{})}
	w.left.Store(int64(len(c.all)))
	c.watched.Store(w)
	if err := change(); err != nil {
		return 0, err
	}
	answered := time.Now()
	select {
	case <-w.done:
		return max(0, time.Since(answered)), nil
	case <-time.After(30 * time.Second):
		return 0, fmt.Errorf("%d proxies have not got %q after 30 s", w.left.Load(), needle)
	}
}

// follower is one proxy's side of its stream.
type follower struct {
	c      *crowd
	client *client.Client

	mu                 sync.Mutex
	have               map[xds.Name]struct{}
	got                map[string]int // resources by type
	hosts              bool           // virtual hosts are asked for
	certificate, whole bool
	saw                *watched
}

// OnStream implements client.Handler.
func (f *follower) OnStream(bool, error) {}

// OnResponse implements client.Handler. Nothing that is followed is removed in a run.
func (f *follower) OnResponse(url string, added []*xds.Resource, _ []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for _, x := range added {
		if _, ok := f.have[x.Name]; !ok {
			f.have[x.Name] = struct{}{}
			f.got[url]++
		}
		more, err := f.c.refers(x)
		if err != nil {
			return err
		}
		names = append(names, more...)
	}
	if next := map[string]string{xds.Cluster: xds.Endpoints, xds.Listener: xds.Route}[url]; next != "" && len(names) > 0 {
		f.client.Subscribe(next, names...)
	}
	if url == xds.Route && len(names) > 0 && !f.hosts {
		f.hosts = true
		f.client.Subscribe(xds.VirtualHost)
	}
	if w := f.c.watched.Load(); w != nil && w != f.saw && w.url == url && slices.ContainsFunc(added, func(x *xds.Resource) bool { return bytes.Contains(x.Body, w.needle) }) {
		if f.saw = w; w.left.Add(-1) == 0 {
			close(w.done)
		}
	}
	f.judge()
	return nil
}

// certified says that the proxy has its certificate.
func (f *follower) certified() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.certificate = true
	f.judge()
}

// judge tells when the proxy has all that one gets.
func (f *follower) judge() {
	if f.whole || !f.certificate {
		return
	}
	for url, n := range f.c.want {
		if f.got[url] < n {
			return
		}
	}
	f.whole = true
	if f.c.complete.Add(1) == int64(len(f.c.all)) {
		close(f.c.synced)
	}
}

// refers says what a resource refers to: the endpoints of a cluster, the routes of a listener; and of a route table its own name, if its virtual hosts come one by one.
func (c *crowd) refers(x *xds.Resource) ([]string, error) {
	if list, ok := c.known.Load(x.Version); ok {
		return list.([]string), nil
	}
	var list []string
	switch x.Name.TypeURL {
	case xds.Cluster:
		got, err := read(x, &clusterv3.Cluster{}, c.decoder.Cluster)
		if err != nil {
			return nil, err
		}
		if got.Type == config.EDS {
			list = append(list, got.ServiceName)
		}
	case xds.Listener:
		got, err := read(x, &listenerv3.Listener{}, c.decoder.Listener)
		if err != nil {
			return nil, err
		}
		for _, chain := range append(slices.Clone(got.Chains), got.Default) {
			if chain != nil && chain.HTTP != nil && chain.HTTP.RouteName != "" {
				list = append(list, chain.HTTP.RouteName)
			}
		}
	case xds.Route:
		got, err := read(x, &routev3.RouteConfiguration{}, c.decoder.RouteTable)
		if err != nil {
			return nil, err
		}
		if got.VHDS {
			list = append(list, got.Name)
		}
	default:
		return nil, nil
	}
	c.known.Store(x.Version, list)
	return list, nil
}

func clientTLS(roots *x509.CertPool) *tls.Config {
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

func read[M proto.Message, T any](x *xds.Resource, m M, reader func(string, M) (*T, error)) (*T, error) {
	if err := proto.Unmarshal(x.Body, m); err != nil {
		return nil, err
	}
	return reader("", m)
}

// same fails unless a proxy of the crowd holds what heddle-proxy would.
func (c *crowd) same(want map[string][]string) error {
	for _, url := range followed {
		if got := slices.Sorted(maps.Keys(c.all[0].client.Versions(url))); !slices.Equal(got, want[url]) {
			return fmt.Errorf("the crowd's first proxy holds %d resources of %s, and heddle-proxy in its place %d; the two must be the same", len(got), xds.ShortType(url), len(want[url]))
		}
	}
	return nil
}
