package probe

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/heddle-mesh/heddle/data/proxy/kubelet"
)

// host is where the application is asked that names no other host.
const host = "localhost"

// dial calls the application; at localhost it may have an address of either family.
func dial(ctx context.Context, network, at string) (net.Conn, error) {
	name, port, err := net.SplitHostPort(at)
	if err != nil || name != host {
		return kubelet.Dial(ctx, network, at)
	}
	c, err := kubelet.Dial(ctx, network, net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		if c, err6 := kubelet.Dial(ctx, network, net.JoinHostPort("::1", port)); err6 == nil {
			return c, nil
		}
	}
	return c, err
}

// mostRead is as much of an answer as is read.
const mostRead = 10 << 10

type httpGet struct {
	Path    string `json:"path"`
	Port    int    `json:"port"`
	Host    string `json:"host"`
	Scheme  string `json:"scheme"`
	Headers []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"httpHeaders"`
}

func (g *httpGet) asker() (func(context.Context) error, error) {
	if g.Scheme != "" && g.Scheme != "HTTP" && g.Scheme != "HTTPS" {
		return nil, fmt.Errorf("httpGet.scheme: %q is not one of HTTP and HTTPS", g.Scheme)
	}
	at, err := address("httpGet", g.Host, g.Port)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(g.Path) // may have a query
	if err != nil {
		return nil, fmt.Errorf("httpGet.path: %w", err)
	}
	u.Scheme, u.Host = strings.ToLower(cmp.Or(g.Scheme, "HTTP")), at
	if !strings.HasPrefix(u.Path, "/") {
		u.Path = "/" + u.Path
	}
	client := &http.Client{CheckRedirect: kubelet.SameHost, Transport: &http.Transport{
		// A probe asks whether somebody answers, not who, and a connection that stays open would hide that nobody can open one.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true, DisableCompression: true, Proxy: nil, DialContext: dial,
	}}
	return func(ctx context.Context) error { return g.get(ctx, client, u.String()) }, nil
}

func (g *httpGet) get(ctx context.Context, client *http.Client, at string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return err
	}
	for _, h := range g.Headers {
		if strings.EqualFold(h.Name, "Host") {
			r.Host = h.Value
			continue
		}
		r.Header.Add(h.Name, h.Value)
	}
	if r.Header.Get("User-Agent") == "" {
		r.Header.Set("User-Agent", "istio-probe/1.0") // by which applications know Istio's agent
	}
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, mostRead)) // the status has said it already
	if answer.StatusCode < 200 || answer.StatusCode >= 400 {
		return fmt.Errorf("GET %s answers %d, which is not one from 200 to 399", at, answer.StatusCode)
	}
	return nil
}

type socket struct {
	Host string `json:"host"`
	Port int    `json:"port"`
}

func (s *socket) asker() (func(context.Context) error, error) {
	at, err := address("tcpSocket", s.Host, s.Port)
	return func(ctx context.Context) error {
		c, err := dial(ctx, "tcp", at)
		if err != nil {
			return err
		}
		return c.Close()
	}, err
}

type command struct {
	Command []string `json:"command"`
}

// patience is how long the children of a command that was ended may hold its output.
const patience = time.Second

func (c *command) asker() (func(context.Context) error, error) {
	if len(c.Command) == 0 || c.Command[0] == "" {
		return nil, errors.New("exec.command: it names no program")
	}
	return func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, c.Command[0], c.Command[1:]...)
		cmd.WaitDelay = patience
		err := cmd.Run()
		if ctx.Err() != nil {
			return fmt.Errorf("the command %s did not end in time", c.Command[0])
		}
		if err != nil {
			return fmt.Errorf("the command %s: %w", c.Command[0], err)
		}
		return nil
	}, nil
}

type grpcPort struct {
	Port    int    `json:"port"`
	Service string `json:"service"`
}

// asker calls grpc.health.v1.Health/Check.
func (g *grpcPort) asker() (func(context.Context) error, error) {
	at, err := address("grpc", "", g.Port)
	return func(ctx context.Context) error {
		conn, err := grpc.NewClient("passthrough:///"+at, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(), grpc.WithDisableServiceConfig(),
			grpc.WithContextDialer(func(ctx context.Context, at string) (net.Conn, error) { return dial(ctx, "tcp", at) }), grpc.WithUserAgent("istio-probe/1.0"))
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }() // it was only for this question
		answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: g.Service})
		if err != nil {
			return err
		}
		if s := answer.GetStatus(); s != grpc_health_v1.HealthCheckResponse_SERVING {
			return fmt.Errorf("the service %q says that it is %s", g.Service, s)
		}
		return nil
	}, err
}

func address(way, at string, port int) (string, error) {
	if port < 1 || port > 65535 {
		return "", fmt.Errorf("%s.port: %d is not a port number", way, port)
	}
	return net.JoinHostPort(cmp.Or(at, host), strconv.Itoa(port)), nil
}
