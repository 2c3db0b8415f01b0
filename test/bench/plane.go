package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// plane is a control plane of two real processes: heddle-apiserver, and heddled as the chart starts it.
type plane struct {
	b       *bench
	typed   kubernetes.Interface
	dynamic dynamic.Interface
	heddled int // process

	xds, webhook, http string // HOST:PORT of heddled
}

// startPlane starts the API server; heddled is started when its objects are there.
func (b *bench) startPlane() (*plane, error) {
	address, err := freePort()
	if err != nil {
		return nil, err
	}
	kubeconfig := b.path("kubeconfig")
	if _, err := b.launch("heddle-apiserver", "bin/heddle-apiserver", "--data-dir", b.path("api"), "--address", address, "--kubeconfig-out", kubeconfig); err != nil {
		return nil, err
	}
	p := &plane{b: b}
	var cfg *rest.Config
	err = patience("heddle-apiserver to be ready", time.Minute, func() error {
		if _, err := os.Stat(p.path("api", "heddled.kubeconfig")); err != nil {
			return err
		}
		if cfg, err = clientcmd.BuildConfigFromFlags("", kubeconfig); err != nil {
			return err
		}
		cfg.QPS = -1 // no budget
		cfg.WarningHandler = rest.NoWarnings{}
		if p.typed, err = kubernetes.NewForConfig(cfg); err != nil {
			return err
		}
		_, err = p.typed.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(context.Background())
		return err
	})
	if err != nil {
		return nil, errors.Join(err, fmt.Errorf("it said: %.2000s", b.said.String()))
	}
	p.dynamic, err = dynamic.NewForConfig(cfg)
	return p, err
}

func (p *plane) path(parts ...string) string {
	return filepath.Join(append([]string{p.b.dir}, parts...)...)
}

// startHeddled starts heddled, in the place of one that runs, and waits until it has read everything.
func (p *plane) startHeddled() (err error) {
	if p.heddled != 0 {
		p.b.stop(p.heddled)
	}
	for _, address := range []*string{&p.xds, &p.webhook, &p.http} {
		if *address, err = freePort(); err != nil {
			return err
		}
	}
	p.heddled, err = p.b.launch("heddled", "bin/heddled", "--kubeconfig", p.path("api", "heddled.kubeconfig"), "--xds-address", "", "--xds-tls-address", p.xds,
		"--http-address", p.http, "--webhook-address", p.webhook, "--state-dir", p.path("state"), "--log-level", "info")
	if err != nil {
		return err
	}
	err = patience("heddled to be ready", time.Minute, func() error {
		if state := statFields(fmt.Sprintf("/proc/%d/stat", p.heddled)); len(state) == 0 || state[0] == "Z" {
			return errors.New("it has ended") // who answers is somebody else, with the port that was free
		}
		_, err := p.page("/ready")
		return err
	})
	if err != nil {
		return errors.Join(err, fmt.Errorf("it said: %.2000s", p.b.said.String()))
	}
	return nil
}

// page reads one of heddled's pages.
func (p *plane) page(path string) (string, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+p.http+path, nil)
	if err != nil {
		return "", err
	}
	if token, err := os.ReadFile(p.path("state", "debug-token")); err == nil {
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	resp, err := p.b.ask.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, resp.Status)
	}
	return string(body), err
}

// keepPage writes a page of heddled into the folder of profiles, if there is one: /debug/pprof/heap, or a CPU profile.
func (p *plane) keepPage(page, name string) error {
	if p.b.profiles == "" {
		return nil
	}
	body, err := p.page(page)
	if err == nil {
		err = os.MkdirAll(p.b.profiles, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(p.b.profiles, name), []byte(body), 0o644)
	}
	return err
}

// metric is a plain metric of heddled.
func (p *plane) metric(name string) (float64, error) {
	text, err := p.page("/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("heddled has no metric %s", name)
}

// roots are the certificates that heddled is known by.
func (p *plane) roots() (*x509.CertPool, error) {
	pem, err := os.ReadFile(p.rootFile())
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", p.rootFile())
	}
	return pool, nil
}

func (p *plane) rootFile() string { return p.path("state", "ca", "root-cert.pem") }

// spent is the CPU time of heddled so far.
func (p *plane) spent() time.Duration {
	user, system := cpu([]int{p.heddled})
	return user + system
}

// stop ends one program.
func (b *bench) stop(pid int) {
	for i, c := range b.started {
		if c.Process.Pid == pid {
			_ = syscall.Kill(-pid, syscall.SIGTERM)
			_ = c.Wait() // it was told to end
			b.started = slices.Delete(b.started, i, i+1)
			return
		}
	}
}

// patience tries until it succeeds.
func patience(what string, limit time.Duration, try func() error) error {
	err := errors.New("not tried")
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = try(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("waited %s for %s: %w", limit, what, err)
}

// freePort is a loopback address that nobody listens on.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// quantiles are p50, p90, p99 and the longest.
func quantiles(all []time.Duration, unit time.Duration) (out [4]string) {
	slices.Sort(all)
	for i, q := range []float64{.5, .9, .99, 1} {
		out[i] = all[int(q*float64(len(all)-1))].Round(unit).String()
	}
	return out
}
