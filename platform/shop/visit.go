package shop

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"
)

// Visit makes requests at a steady rate (requests a second) until the context ends: mostly the page, now and then a purchase.
func Visit(ctx context.Context, base string, rate float64, log *slog.Logger) {
	client := &http.Client{Timeout: 10 * time.Second}
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	inFlight := make(chan struct{}, 32) // a stuck shop must not pile up visitors
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		select {
		case inFlight <- struct{}{}:
		default:
			continue
		}
		go func() {
			defer func() { <-inFlight }()
			path := "/"
			if rand.IntN(3) == 0 {
				path = "/checkout"
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
			if err != nil {
				log.Error("the visitor cannot make a request", "error", err)
				return
			}
			req.Header.Set("User-Agent", "shop-visitor")
			resp, err := client.Do(req)
			if err != nil {
				log.Debug("the visitor got no answer", "error", err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}()
	}
}
