package e2e

import (
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// commands are the command lines of a printed tour, as they are printed.
func commands(printed string) (list []string) {
	_, printed, _ = strings.Cut(printed, "Things to try")
	here := false
	for line := range strings.Lines(printed) {
		line = strings.TrimSuffix(line, "\n")
		if command, ok := strings.CutPrefix(line, "     "); ok && !here {
			list = append(list, command)
			here = strings.Contains(command, "<<'END'")
		} else if here {
			list[len(list)-1] += "\n" + line
			here = line != "END"
		}
	}
	return list
}

// tour runs every printed command as printed and looks whether it does what the tour says.
func (h *home) tour(t *testing.T, printed string, s status) {
	list := commands(printed)
	if len(list) < 10 {
		t.Fatalf("the tour has %d commands:\n%s", len(list), printed)
	}
	for _, c := range list {
		if strings.Contains(c, "http.server") {
			continue // it does not end by itself; see below
		}
		if strings.Contains(c, "run --name me ") {
			hello := h.startRun("--name", "hello", "--port", "9000", "--", "python3", "-m", "http.server", "9000")
			defer func() {
				hello.Process.Signal(syscall.SIGTERM)
				hello.Wait()
			}()
		}
		out, errs, code := h.shell(c)
		if code != 0 {
			t.Errorf("%s\nexit code %d\n%s%s", c, code, out, errs)
			continue
		}
		h.did(t, c, out, s)
	}
}

// did checks the effect of one command of the tour.
func (h *home) did(t *testing.T, command, out string, s status) {
	t.Helper()
	switch {
	case strings.Contains(command, "patch virtualservice catalog"):
		eventually(t, 10*time.Second, func() string {
			one, two := versions(s.Gateway+"/catalog", 200)
			if one > 0 && two > 0 && two < one/3 {
				return ""
			}
			return "the shift is not in effect"
		})
	case strings.Contains(command, "kubectl apply"):
		eventually(t, 10*time.Second, func() string {
			if failed := failures(s.Gateway+"/checkout", 100); failed < 20 {
				return "nothing breaks"
			}
			return ""
		})
	case strings.Contains(command, "delete virtualservice"):
		eventually(t, 10*time.Second, func() string {
			if failed := failures(s.Gateway+"/checkout", 100); failed > 18 {
				return "it is not mended"
			}
			return ""
		})
	case strings.Contains(command, " query "):
		eventually(t, 30*time.Second, func() string { // a rate needs two scrapes
			if out, errs, _ := h.shell(command); !strings.HasPrefix(out, "DESTINATION_WORKLOAD   RESPONSE_CODE   VALUE\n") || !strings.Contains(out, "web-v1 ") {
				return command + " prints " + out + errs
			}
			return ""
		})
	case strings.Contains(command, "%{http_code}"):
		if !strings.Contains(out, " 50") || !strings.Contains(out, " 200") {
			t.Errorf("%s\nshows no failure, or nothing else:\n%s", command, out)
		}
	default:
		h.shows(t, command, out, s)
	}
}

// shows checks what one command of the tour prints.
func (h *home) shows(t *testing.T, command, out string, s status) {
	t.Helper()
	for part, want := range map[string][]string{
		"curl -s " + s.Gateway + "/":           {`"service":`},
		" status":                              {"mesh ", "ready", "web-v1", "istio-ingressgateway"},
		" proxy-status":                        {"NAME ", "CLUSTER ", "CDS ", "LDS ", "EDS ", "RDS ", "ECDS ", "ISTIOD ", "VERSION", "web-v1.shop", "SYNCED"},
		"proxy-config route web-v1.shop":       {"NAME ", "VHOST NAME ", "DOMAINS ", "MATCH ", "VIRTUAL SERVICE", "catalog.shop"},
		"proxy-config endpoint web-v1.shop":    {"ENDPOINT ", "STATUS ", "OUTLIER CHECK ", "CLUSTER", "HEALTHY", "outbound|8080||catalog.shop.svc.cluster.local"},
		"curl -s http://catalog.shop:8080/":    {`"service":"catalog"`},
		"curl -s http://hello:9000/":           {"<html"},
		"grep -o '\"catalog\",\"version\":\"v": {`"catalog","version":"v1"`},
	} {
		if !strings.Contains(command, part) {
			continue
		}
		for _, w := range want {
			if w == `"service":` && strings.Contains(command, "for i in") {
				continue
			}
			if !strings.Contains(out, w) {
				t.Errorf("%s\nprints no %q:\n%s", command, w, out)
			}
		}
	}
}

// answers asks a URL n times, a few at a time.
func answers(url string, n int, each func(code int, body string)) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range n / 8 {
				code, body := get(url)
				mu.Lock()
				each(code, body)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func versions(url string, n int) (one, two int) {
	answers(url, n, func(_ int, body string) {
		one += strings.Count(body, `"service":"catalog","version":"v1"`)
		two += strings.Count(body, `"service":"catalog","version":"v2"`)
	})
	return one, two
}

func failures(url string, n int) (failed int) {
	answers(url, n, func(code int, _ string) {
		if code != 200 {
			failed++
		}
	})
	return failed
}
