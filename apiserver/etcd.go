package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// maxSocketPath is what the kernel takes in a unix socket address, less one.
const maxSocketPath = 107

// store is the embedded etcd: one member, no peers, on a unix socket that only
// this user can reach.
type store struct {
	etcd     *embed.Etcd
	endpoint string
	cleanup  func()
	closing  *atomic.Bool
}

// startStore opens the store below the data folder. A store that cannot be read
// is an error in one sentence, never a panic of the library.
func startStore(dir *dataDir, log *slog.Logger) (s *store, err error) {
	path := dir.file("etcd")
	if err := checkStore(path); err != nil {
		return nil, unreadable(path, err)
	}
	socket, cleanup, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil {
			err = unreadable(path, fmt.Errorf("%v", p))
		}
		if err != nil {
			cleanup()
		}
	}()
	// The default of 64 MB is meant for busy clusters; two of them are kept.
	wal.SegmentSizeBytes = 16 << 20
	closing := new(atomic.Bool)
	e, err := embed.StartEtcd(etcdConfig(path, socket, etcdLog(path, log, closing)))
	if err != nil {
		return nil, unreadable(path, err)
	}
	select {
	case <-e.Server.ReadyNotify():
	case err := <-e.Err():
		e.Close()
		return nil, unreadable(path, err)
	case <-time.After(time.Minute):
		e.Close()
		return nil, fmt.Errorf("the store in %s did not become ready within a minute: see whether the disk is full or very slow", path)
	}
	return &store{etcd: e, endpoint: "unix://" + socket, cleanup: cleanup, closing: closing}, nil
}

func (s *store) close() {
	s.closing.Store(true) // etcd logs its own end as errors
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		s.etcd.Close()
	}()
	select {
	case <-closed:
	case <-time.After(closeLimit): // it waits for clients, also lost ones
	}
	s.cleanup()
}

func etcdConfig(path, socket string, log *zap.Logger) *embed.Config {
	cfg := embed.NewConfig()
	cfg.Name = "heddle"
	cfg.Dir = path
	cfg.ListenClientUrls = []url.URL{{Scheme: "unix", Path: socket}}
	cfg.ListenPeerUrls = nil
	// Never dialled: a member needs names for itself, also without peers.
	self := url.URL{Scheme: "http", Host: "localhost:2380"}
	cfg.AdvertiseClientUrls = []url.URL{self}
	cfg.AdvertisePeerUrls = []url.URL{self}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	// One voter wins its election after one timeout, so a short one starts fast.
	cfg.TickMs, cfg.ElectionMs = 100, 500
	cfg.EnableGRPCGateway = false
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(log)
	return cfg
}

// etcdLog sends etcd's warnings to our log, and turns its fatal ends (etcd has
// no other way to report some kinds of damage) into our sentence.
func etcdLog(path string, log *slog.Logger, closing *atomic.Bool) *zap.Logger {
	level := zapcore.ErrorLevel
	if log.Enabled(context.Background(), slog.LevelDebug) {
		level = zapcore.InfoLevel
	}
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(zap.NewProductionEncoderConfig()), zapcore.Lock(os.Stderr), shown{level, closing})
	end := sentence{path}
	return zap.New(core, zap.WithFatalHook(end), zap.WithPanicHook(end)).Named("etcd")
}

// shown lets through what is below panics (those are told as a sentence), until
// the store closes.
type shown struct {
	from    zapcore.Level
	closing *atomic.Bool
}

func (s shown) Enabled(l zapcore.Level) bool {
	return l >= s.from && l < zapcore.DPanicLevel && !s.closing.Load()
}

// sentence ends the process when etcd gives up.
type sentence struct{ path string }

func (s sentence) OnWrite(e *zapcore.CheckedEntry, fields []zapcore.Field) {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(enc)
	}
	cause := e.Message
	if detail, ok := enc.Fields["error"]; ok {
		cause = fmt.Sprintf("%s: %v", cause, detail)
	}
	exitWith(unreadable(s.path, fmt.Errorf("%s", cause)))
}

func unreadable(path string, err error) error {
	return fmt.Errorf("the store in %s cannot be read (%w): restore that folder from a backup, or move it away to start empty", path, err)
}

// socketPath is DIR/etcd.sock, or a short one in a private temporary folder when
// the kernel would not take that.
func socketPath(dir *dataDir) (path string, cleanup func(), err error) {
	path = dir.file("etcd.sock")
	if len(path) <= maxSocketPath {
		return path, func() { _ = os.Remove(path) }, nil
	}
	tmp, err := os.MkdirTemp("", "heddle-etcd-")
	if err != nil {
		return "", nil, fmt.Errorf("folder for the store's socket: %w", err)
	}
	return filepath.Join(tmp, "etcd.sock"), func() { _ = os.RemoveAll(tmp) }, nil
}
