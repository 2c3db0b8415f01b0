package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
)

const (
	// drainLimit and closeLimit are how long requests and the store may take to
	// end before the process ends anyway; what was answered is on disk already.
	drainLimit = 2500 * time.Millisecond
	closeLimit = 1500 * time.Millisecond
	// startGCPercent is the heap growth allowed until ready: a start makes much
	// garbage in little time.
	startGCPercent = 200
)

// serve is the life of the server: open, build, run, drain.
func serve(cfg *config, log *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if cfg.parentDeath {
		watchParent(ctx, stop)
	}
	debug.SetGCPercent(startGCPercent)
	// Warnings for users (deprecated kinds) are no news to our own clients.
	rest.SetDefaultWarningHandler(rest.NoWarnings{})

	definitions, err := loadDefinitions(cfg.crdSets, cfg.crdDirs)
	if err != nil {
		return err
	}
	dir, err := openDataDir(cfg.dataDir)
	if err != nil {
		return err
	}
	defer dir.close()
	listener, url, err := listen(cfg.address)
	if err != nil {
		return err
	}
	keys, err := openPKI(dir, certNames(listener, cfg), time.Now())
	if err != nil {
		return err
	}
	secrets, err := openPublisher(cfg.publish)
	if err != nil {
		return err
	}
	endpoints := cfg.etcdServers
	if len(endpoints) == 0 {
		store, err := startStore(dir, log)
		if err != nil {
			return err
		}
		defer store.close()
		endpoints = []string{store.endpoint}
	}
	opts, err := serverOptions(ctx, cfg, keys, listener, endpoints)
	if err != nil {
		return err
	}
	c, err := newChain(opts, cfg)
	if err != nil {
		return err
	}
	return c.run(ctx, stop, definitions, func() error {
		at, renewed := cmp.Or(cfg.serverURL, url), make(chan struct{}, 1)
		go renewDaily(ctx, keys, at, cfg.kubeconfigOut, renewed, log)
		go c.settle(ctx, cfg, log)
		if err := keys.writeKubeconfigs(at, cfg.kubeconfigOut); err != nil {
			return err
		}
		if secrets != nil {
			go secrets.follow(ctx, keys, at, renewed, log)
		}
		cfg.started()
		_, err := fmt.Println("ready " + url)
		return err
	})
}

// settle turns from starting fast (a large heap, little collection) to staying
// small, and does the work that can wait until the first users are served.
func (c *chain) settle(ctx context.Context, cfg *config, log *slog.Logger) {
	pause := func(d time.Duration) bool {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(d):
			return true
		}
	}
	debug.SetGCPercent(cfg.gcPercent)
	if cfg.memoryLimit > 0 {
		debug.SetMemoryLimit(cfg.memoryLimit)
	}
	debug.FreeOSMemory()
	if !pause(collectAfter) {
		return
	}
	if err := c.collectGarbage(ctx); err != nil {
		log.Error("objects without an owner are not collected", "error", err)
	}
	if pause(collectAfter) {
		debug.FreeOSMemory()
	}
}

// run serves until ctx ends; ready is called once every kind can be used.
func (c *chain) run(ctx context.Context, stop func(), all []definition, ready func() error) error {
	failed := make(chan error, 2)
	if err := c.addSetup(all, failed); err != nil {
		return err
	}
	if err := c.joinDiscovery(); err != nil {
		return err
	}
	prepared := c.native.PrepareRun()
	if err := c.joinOpenAPI(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- prepared.RunWithContext(ctx) }()
	go func() {
		if c.waitReady(ctx) != nil {
			return // ctx ended first
		}
		if err := ready(); err != nil {
			failed <- err
		}
	}()
	var cause error
	select {
	case err := <-ended:
		return err
	case cause = <-failed:
		stop()
	case <-ctx.Done():
	}
	select {
	case err := <-ended:
		return errors.Join(cause, err)
	case <-time.After(drainLimit):
		return cause
	}
}

// listen opens the address before anything else is built, so that a busy port is
// told at once.
func listen(address string) (net.Listener, string, error) {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, "", fmt.Errorf("the address %s is in use by another process: stop it, or choose another with --address (port 0 takes a free one)", address)
	}
	if err != nil {
		return nil, "", fmt.Errorf("the address %s cannot be listened on: %w; choose another with --address", address, err)
	}
	addr := l.Addr().(*net.TCPAddr)
	host := addr.IP.String()
	if addr.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return l, "https://" + net.JoinHostPort(host, strconv.Itoa(addr.Port)), nil
}

// certNames lists the names under which clients may reach the listener.
func certNames(l net.Listener, cfg *config) []string {
	names := []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc.cluster.local", "127.0.0.1", "::1"}
	ip := l.Addr().(*net.TCPAddr).IP
	if !ip.IsUnspecified() {
		names = append(names, ip.String())
	} else if host, err := os.Hostname(); err == nil && host != "" {
		names = append(names, host)
	}
	return append(names, cfg.tlsNames...)
}

// renewDaily keeps a server that runs for a year from locking its users out.
func renewDaily(ctx context.Context, keys *pki, url, adminCopy string, renewed chan<- struct{}, log *slog.Logger) {
	daily := time.NewTicker(24 * time.Hour)
	defer daily.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-daily.C:
			err := keys.renew(now)
			if err == nil {
				err = keys.writeKubeconfigs(url, adminCopy)
			}
			if err != nil {
				log.Error("certificates not renewed", "error", err)
				continue
			}
			select {
			case renewed <- struct{}{}:
			default: // nobody publishes, or it is told already
			}
		}
	}
}
