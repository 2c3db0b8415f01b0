package laptop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// hesitation is how long nothing may listen before the user is told, misplacement how long it may listen elsewhere only.
	hesitation, misplacement = 10 * time.Second, 2 * time.Second
	// settled is how long no request must have come to a workload that was taken out of service: whoever calls it has heard by then.
	settled = 500 * time.Millisecond
	// farewell bounds the wait for requests that are under way when a workload leaves.
	farewell = 10 * time.Second
)

// openWhenListening puts a workload into service when its process listens on its port, and says so. What keeps it from that is told once.
func (m *meshRun) openWhenListening(ctx context.Context, w *workload, tell func(string)) {
	begin, told := time.Now(), false
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		found, err := m.fabric.Listening(ctx, m.space(w), w.port)
		if err != nil {
			if ctx.Err() == nil {
				m.log.Warn("nobody knows whether a workload listens", "workload", w.id(), "error", err)
			}
			return
		}
		if ip, ok := w.reachable(found); ok {
			switch err := m.open(ctx, w, ip); {
			case err == nil:
				m.tellStatus()
				tell(fmt.Sprintf("%s.%s takes requests on port %d", w.name, w.namespace, w.port))
			case ctx.Err() == nil && !errors.Is(err, errLeaving):
				m.log.Warn("a workload cannot be put into service", "workload", w.id(), "error", err)
			}
			return
		}
		if waited := time.Since(begin); !told && (waited > hesitation || waited > misplacement && len(found) > 0) {
			told = true
			tell(w.unreachable(found))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// reachable picks the address of the workload that its process can be reached by; IPv4 goes first.
func (w *workload) reachable(listening []netip.Addr) (netip.Addr, bool) {
	if w.hostPort != 0 { // its proxy looks for it at the usual loopback address
		local := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		return w.addresses[0], slices.ContainsFunc(listening, func(l netip.Addr) bool { return l == local || l == netip.IPv4Unspecified() })
	}
	for _, own := range w.addresses {
		if slices.ContainsFunc(listening, func(l netip.Addr) bool { return l == own || l.IsUnspecified() && l.Is4() == own.Is4() }) {
			return own, true
		}
	}
	return netip.Addr{}, false
}

// unreachable says why nobody can call the process.
func (w *workload) unreachable(listening []netip.Addr) string {
	if len(listening) == 0 {
		return fmt.Sprintf("nothing listens on port %d yet, so %s.%s takes no requests", w.port, w.name, w.namespace)
	}
	return fmt.Sprintf("the process listens on %s only, where its proxy does not reach it, so %s.%s takes no requests; let it listen on all addresses",
		netip.AddrPortFrom(listening[0], w.port), w.name, w.namespace)
}

var errLeaving = errors.New("the workload is leaving")

// open puts a workload into service at one of its addresses, unless it is leaving.
func (m *meshRun) open(ctx context.Context, w *workload, at netip.Addr) error {
	m.joining.Lock()
	defer m.joining.Unlock()
	if w.leaving {
		return errLeaving
	}
	w.reached = at
	if err := m.api.apply(ctx, entryObject(w, true)); err != nil {
		return err
	}
	w.serving = true
	w.outOfService.Store(false)
	return nil
}

// withdraw takes a workload out of service and waits until nobody calls it any more, so that its process can end without a failed request.
func (m *meshRun) withdraw(ctx context.Context, w *workload) {
	ctx, stop := context.WithTimeout(ctx, farewell)
	defer stop()
	m.joining.Lock()
	served := w.serving
	w.leaving, w.serving = true, false
	var err error
	if served {
		w.outOfService.Store(true)
		err = m.api.apply(ctx, entryObject(w, false))
	}
	m.joining.Unlock()
	if err != nil {
		m.log.Warn("a workload cannot be taken out of service", "workload", w.id(), "error", err)
	}
	if !served || err != nil {
		return
	}
	last, since := -1, time.Now()
	for time.Since(since) < settled {
		total, active, err := w.requests(ctx)
		if err != nil {
			return // its proxy is gone, and the requests with it
		}
		if total != last || active > 0 {
			last, since = total, time.Now()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// requests asks the proxy how much came to the workload so far (requests, or connections), and how many requests are under way.
func (w *workload) requests(ctx context.Context) (total, active int, err error) {
	transport := overSocket(w.admin)
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: time.Second}
	filter := url.QueryEscape("^" + regexp.QuoteMeta(fmt.Sprintf("cluster.inbound|%d||.upstream_", cmp.Or(w.entryPort, w.port))) + "(rq_total|rq_active|cx_total)$")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://proxy/stats?filter="+filter, nil)
	if err != nil {
		return 0, 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, err := strconv.Atoi(value)
		if err != nil {
			return 0, 0, fmt.Errorf("read the statistic %q: %w", line, err)
		}
		if strings.HasSuffix(name, "rq_active") {
			active += n
		} else {
			total += n
		}
	}
	return total, active, nil
}
