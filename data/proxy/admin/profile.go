package admin

import (
	"net/http"
	"runtime/pprof"
	"strconv"
	"sync"
	"time"
)

// longestProfile is how long a profile of the CPU may be asked for.
const longestProfile = 5 * time.Minute

// profiling is held while a profile of the CPU is made: the runtime makes one at a time.
var profiling sync.Mutex

// cpuProfile shows where the proxy's time goes: `go tool pprof http://ADMIN/debug/pprof/profile?seconds=10`.
func (s *Server) cpuProfile(w http.ResponseWriter, r *http.Request) {
	length := 30 * time.Second
	if q := r.URL.Query(); q.Has("seconds") {
		n, err := strconv.Atoi(q.Get("seconds"))
		if length = time.Duration(n) * time.Second; err != nil || length <= 0 || length > longestProfile {
			http.Error(w, "seconds must be a number from 1 to "+strconv.Itoa(int(longestProfile.Seconds())), http.StatusBadRequest)
			return
		}
	}
	if !profiling.TryLock() {
		http.Error(w, "another profile is being made; ask again when it is done", http.StatusConflict)
		return
	}
	defer profiling.Unlock()
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := pprof.StartCPUProfile(w); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	defer pprof.StopCPUProfile()
	select {
	case <-time.After(length):
	case <-r.Context().Done(): // nobody waits for it
	}
}

// profile is one of the runtime's others, such as heap and goroutine; with debug=1 as text.
func (s *Server) profile(w http.ResponseWriter, r *http.Request) {
	p := pprof.Lookup(r.PathValue("name"))
	if p == nil {
		http.Error(w, "there is no such profile; there are profile, heap, allocs, goroutine and threadcreate", http.StatusNotFound)
		return
	}
	debug, _ := strconv.Atoi(r.URL.Query().Get("debug")) // what is no number is none
	if debug == 0 {
		w.Header().Set("Content-Type", "application/octet-stream")
	}
	_ = p.WriteTo(w, debug) // the client is gone
}
