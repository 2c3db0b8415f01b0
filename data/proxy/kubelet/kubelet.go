// Package kubelet answers what a pod's proxy is asked from outside the mesh: the kubelet's probes of the application, and the wish of a job to end its proxy.
//
// In: the probes that injection took from the pod's containers (Istio's ISTIO_KUBE_APP_PROBERS). Out: a handler for the proxy's status port. Safe for concurrent use.
package kubelet

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// Prefix is the path below which probes of the application are answered.
const Prefix = "/app-health/"

// Handler probes the application in the kubelet's place.
type Handler struct {
	probes map[string]probe
	ip     string
	client *http.Client
}

// probe is one of Kubernetes' probes; exactly one of the three is set.
type probe struct {
	HTTPGet        *httpGet `json:"httpGet"`
	TCPSocket      *port    `json:"tcpSocket"`
	GRPC           *port    `json:"grpc"`
	TimeoutSeconds int      `json:"timeoutSeconds"`
}

type port struct {
	Port    uint16 `json:"port"`
	Service string `json:"service"` // of gRPC
}

type httpGet struct {
	Path    string   `json:"path"`
	Port    uint16   `json:"port"`
	Scheme  string   `json:"scheme"`
	Headers []header `json:"httpHeaders"`
}

type header struct{ Name, Value string }

// longest is the longest timeout that a probe may have; Kubernetes has no limit, and none of use is longer.
const longest = time.Hour

// Parse reads the probes as JSON, by the path under which the kubelet asks for them. The application is probed at ip, the pod's own address, as the kubelet would.
func Parse(text string, ip netip.Addr) (*Handler, error) {
	h := &Handler{ip: ip.String()}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&h.probes); err != nil {
		return nil, fmt.Errorf("want a JSON object of probes by their paths: %w", err)
	}
	for path, p := range h.probes {
		if err := p.check(); err != nil || !strings.HasPrefix(path, Prefix) {
			return nil, fmt.Errorf("the probe %s: %w", path, errors.Join(err, wrongPath(path)))
		}
	}
	h.client = &http.Client{CheckRedirect: SameHost, Transport: &http.Transport{
		// As the kubelet: a probe asks whether somebody answers, not who, and a connection that stays open would hide that nobody can open one.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true, DisableCompression: true, Proxy: nil, DialContext: Dial,
	}}
	return h, nil
}

func wrongPath(path string) error {
	if !strings.HasPrefix(path, Prefix) {
		return errors.New("the path does not begin with " + Prefix)
	}
	return nil
}

func (p probe) check() error {
	kinds, at := 0, uint16(0)
	if p.HTTPGet != nil {
		kinds, at = kinds+1, p.HTTPGet.Port
		if s := p.HTTPGet.Scheme; s != "" && s != "HTTP" && s != "HTTPS" {
			return fmt.Errorf("scheme %q is not one of HTTP and HTTPS", s)
		}
	}
	for _, x := range []*port{p.TCPSocket, p.GRPC} {
		if x != nil {
			kinds, at = kinds+1, x.Port
		}
	}
	if kinds != 1 || at == 0 || p.TimeoutSeconds < 0 || time.Duration(p.TimeoutSeconds)*time.Second > longest {
		return errors.New("want one of httpGet, tcpSocket and grpc with a port, and a timeout of at most an hour")
	}
	return nil
}

// ServeHTTP answers GET with the application's status, without its body: who asks is not authenticated.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p, ok := h.probes[r.URL.Path]
	if !ok {
		http.Error(w, "the pod has no such probe", http.StatusNotFound)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(max(p.TimeoutSeconds, 1))*time.Second)
	defer cancel()
	status, err := h.ask(ctx, p, r.Header)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(status)
}

func (h *Handler) ask(ctx context.Context, p probe, kubelet http.Header) (int, error) {
	switch {
	case p.HTTPGet != nil:
		return h.get(ctx, p.HTTPGet, kubelet)
	case p.TCPSocket != nil:
		c, err := Dial(ctx, "tcp", h.address(p.TCPSocket.Port))
		if err != nil {
			return 0, err
		}
		return http.StatusOK, c.Close()
	}
	return http.StatusOK, h.check(ctx, p.GRPC)
}

// Dial calls the application from where a sidecar does, so that the capture rules do not take the call for one of the workload to its own Service. Where nothing is captured over
// IPv6 there is no such address, and any other does.
func Dial(ctx context.Context, network, at string) (net.Conn, error) {
	from := net.IPv4(127, 0, 0, 6)
	if ap, err := netip.ParseAddrPort(at); err == nil && ap.Addr().Is6() && !ap.Addr().Is4In6() {
		from = net.ParseIP("::6")
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
	d.SetMultipathTCP(false)
	c, err := d.DialContext(ctx, network, at)
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		d.LocalAddr = nil
		c, err = d.DialContext(ctx, network, at)
	}
	return c, err
}

func (h *Handler) address(port uint16) string {
	return net.JoinHostPort(h.ip, strconv.Itoa(int(port)))
}

func (h *Handler) get(ctx context.Context, g *httpGet, kubelet http.Header) (int, error) {
	u, err := url.Parse(g.Path) // may have a query
	if err != nil {
		return 0, err
	}
	u.Scheme, u.Host = "http", h.address(g.Port)
	if g.Scheme == "HTTPS" {
		u.Scheme = "https"
	}
	if !strings.HasPrefix(u.Path, "/") {
		u.Path = "/" + u.Path
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return 0, err
	}
	r.Header = http.Header{"User-Agent": kubelet.Values("User-Agent"), "Accept": {"*/*"}}
	for _, x := range g.Headers {
		if strings.EqualFold(x.Name, "Host") {
			r.Host = x.Value
			continue
		}
		if one := http.CanonicalHeaderKey(x.Name); one == "User-Agent" || one == "Accept" {
			r.Header.Set(one, x.Value)
		} else {
			r.Header.Add(one, x.Value)
		}
	}
	answer, err := h.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if err := ctx.Err(); err != nil { // an application that answers because it is hung up on is read by a client that hangs up, now and then
		return 0, err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 10<<10)) // as much as the kubelet reads
	return answer.StatusCode, nil
}

// SameHost follows redirects as the kubelet does: to the same host, ten times at most; one that leads elsewhere is an answer.
func SameHost(r *http.Request, via []*http.Request) error {
	if r.URL.Hostname() != via[0].URL.Hostname() {
		return http.ErrUseLastResponse
	}
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	return nil
}

// check calls grpc.health.v1.Health/Check.
func (h *Handler) check(ctx context.Context, p *port) error {
	conn, err := grpc.NewClient("passthrough:///"+h.address(p.Port), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(), grpc.WithDisableServiceConfig(),
		grpc.WithContextDialer(func(ctx context.Context, at string) (net.Conn, error) { return Dial(ctx, "tcp", at) }),
		grpc.WithUserAgent("kube-probe/heddle"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // it was only for this question
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: p.Service})
	if err != nil {
		return err
	}
	if s := answer.GetStatus(); s != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("the application says %s", s)
	}
	return nil
}

// Status is what a status port answers: probes of the application (nil for none), POST /quitquitquit from inside the pod, and pages for all else.
func Status(probes *Handler, quit func(), pages http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /quitquitquit", func(w http.ResponseWriter, r *http.Request) {
		// Whoever shares the pod's network may end its proxy; the rest of the network may not.
		if from, err := netip.ParseAddrPort(r.RemoteAddr); err != nil || !from.Addr().Unmap().IsLoopback() {
			http.Error(w, "only containers of the same pod may end the proxy", http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, "OK\n")
		quit()
	})
	if probes != nil {
		mux.Handle("GET "+Prefix, probes)
	}
	mux.Handle("/", pages)
	return mux
}
