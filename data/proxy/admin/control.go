package admin

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
)

// logger is the name of the only logger.
const logger = "heddle"

const loggingUsage = `usage: /logging?<name>=<level> (change single level)
usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)
usage: /logging?level=<level> (change all levels)
levels: trace debug info warning error critical off
`

// logging shows the level, and changes it in the ways that Envoy's page does; there is one logger.
func (s *Server) logging(w http.ResponseWriter, r *http.Request) {
	for key, values := range r.URL.Query() {
		for _, value := range values {
			if err := s.change(key, value); err != nil {
				http.Error(w, fmt.Sprintf("error: %v\n\n%s%s", err, loggingUsage, s.loggers()), http.StatusBadRequest)
				return
			}
		}
	}
	text(w, "%s", s.loggers())
}

func (s *Server) loggers() string {
	name := map[slog.Level]string{slog.LevelDebug: "debug", slog.LevelInfo: "info", slog.LevelWarn: "warning", slog.LevelError: "error"}[s.Level.Level()]
	return "active loggers:\n  " + logger + ": " + name + "\n"
}

// change obeys level=LEVEL, paths=NAME:LEVEL,... and NAME=LEVEL.
func (s *Server) change(key, value string) error {
	switch key {
	case "level", logger:
		return s.setLevel(value)
	case "paths":
		for one := range strings.SplitSeq(value, ",") {
			name, level, _ := strings.Cut(one, ":")
			if name != logger {
				return fmt.Errorf("unknown logger name %q; the only one is %s", name, logger)
			}
			if err := s.setLevel(level); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("unknown logger name %q; the only one is %s", key, logger)
}

func (s *Server) setLevel(name string) error {
	switch name { // Envoy's words
	case "trace":
		name = "debug"
	case "warning":
		name = "warn"
	case "critical", "off":
		name = "error"
	}
	var l slog.Level
	if err := l.UnmarshalText([]byte(name)); err != nil {
		return fmt.Errorf("unknown logger level: %q is not one of debug, info, warning and error", name)
	}
	s.Level.Set(l)
	return nil
}

// drain closes listeners, or with skip_exit only asks clients to leave.
func (s *Server) drain(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.Drain(q.Has("inboundonly"), q.Has("graceful"), q.Has("skip_exit"))
	text(w, "OK\n")
}

func (s *Server) quit(w http.ResponseWriter, _ *http.Request) {
	text(w, "OK\n")
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	s.Quit()
}

// health makes the proxy say that it is not ready, or takes that back. Traffic goes on.
func (s *Server) health(failed bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		s.failed.Store(failed)
		text(w, "OK\n")
	}
}

func (s *Server) resetCounters(w http.ResponseWriter, _ *http.Request) {
	s.Stats.ResetCounters()
	text(w, "OK\n")
}

// memory is Envoy's shape with what Go's runtime knows.
func (s *Server) memory(w http.ResponseWriter, _ *http.Request) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	message(w, &adminv3.Memory{Allocated: m.HeapAlloc, HeapSize: m.HeapSys - m.HeapReleased, PageheapUnmapped: m.HeapReleased, PageheapFree: m.HeapIdle - m.HeapReleased,
		TotalThreadCache: m.MCacheInuse, TotalPhysicalBytes: m.Sys - m.HeapReleased})
}

// runtime: there are no layers; a setting is in the configuration or nowhere.
func (s *Server) runtime(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte("{\n \"entries\": {},\n \"layers\": []\n}\n"))
}

func (s *Server) initDump(w http.ResponseWriter, _ *http.Request) {
	dump := &adminv3.UnreadyTargetsDumps{}
	if s.Waiting != nil && !s.Ready() {
		dump.UnreadyTargetsDumps = append(dump.UnreadyTargetsDumps, &adminv3.UnreadyTargetsDumps_UnreadyTargetsDump{Name: "init manager Server", TargetNames: s.Waiting()})
	}
	message(w, dump)
}
