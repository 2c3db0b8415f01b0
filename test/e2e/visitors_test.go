package e2e

import (
	"fmt"
	"sync"
	"time"
)

// visit is one page that somebody asked for.
type visit struct {
	from, to time.Time
	page     string // what came instead of a page, empty if all is well
}

// visitors ask for a page all the time, until they are called back.
func visitors(url string, n int) (leave func() []visit) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var all []visit
	stop := make(chan struct{})
	for range n {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(10 * time.Millisecond):
				}
				v := visit{from: time.Now()}
				if code, body := get(url); code != 200 {
					v.page = fmt.Sprintf("%d %.200s", code, body)
				}
				v.to = time.Now()
				mu.Lock()
				all = append(all, v)
				mu.Unlock()
			}
		})
	}
	return func() []visit {
		close(stop)
		wg.Wait()
		return all
	}
}

// back says when somebody had a page that asked for it after a moment.
func back(all []visit, since time.Time) time.Duration {
	first := time.Hour
	for _, v := range all {
		if v.page == "" && v.from.After(since) {
			first = min(first, v.to.Sub(since))
		}
	}
	return first
}

type lack struct {
	after time.Duration
	page  string
}

// outage is the last request that failed or took longer than a second.
func outage(all []visit, since time.Time) (worst lack) {
	for _, v := range all {
		took, after := v.to.Sub(v.from), v.to.Sub(since)
		if after <= worst.after || v.page == "" && took <= time.Second {
			continue
		}
		worst = lack{after, v.page}
		if v.page == "" {
			worst.page = fmt.Sprintf("a page that took %s", took.Round(time.Millisecond))
		}
	}
	return worst
}
