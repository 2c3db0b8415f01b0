// Command app is the application of the cluster tests; it knows nothing of the mesh.
//
//	app serve [ADDRESS]      answers with its version, its pod, the address that calls and what the caller's proxy said of the caller; drains on SIGTERM. Datagrams are
//	                         answered with version and pod
//	app ask ADDRESS...       sends a datagram to each, from one socket, and prints "ADDRESS ANSWER"
//	app get URL [COUNT]      asks and prints "STATUS BODY", one line for each answer
//	app first URL [TEXT]     asks until it is answered 200 (with the text in it), and prints when it began, when it was answered (nanoseconds since 1970) and how often it asked
//	app all URL...           asks all of them at the same time and prints "STATUS BODY" for each, in their order
//	app load URL RATE TIME   asks RATE times a second for TIME and prints how often each status came; 0 is no answer
//	app exit                 does nothing, as a Job
package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "exit":
		return nil
	case len(args) > 0 && args[0] == "serve":
		return serve(append(args, ":8080")[1])
	case len(args) > 1 && args[0] == "ask":
		return ask(args[1:])
	case len(args) > 1 && args[0] == "get":
		count, err := strconv.Atoi(append(args, "1")[2])
		for range count {
			status, body := get(args[1])
			fmt.Println(status, body)
		}
		return err
	case len(args) > 1 && args[0] == "first":
		return first(args[1], append(args, "")[2])
	case len(args) > 1 && args[0] == "all":
		return all(args[1:])
	case len(args) == 4 && args[0] == "load":
		return load(args[1], args[2], args[3])
	}
	return fmt.Errorf("usage: app serve|ask|get|first|all|load|exit; got %q", args)
}

func serve(address string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	host, _ := os.Hostname()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		from, _, _ := net.SplitHostPort(r.RemoteAddr)
		_, _ = fmt.Fprintf(w, "%s %s from=%s peer=%s", os.Getenv("VERSION"), host, from, r.Header.Get("X-Forwarded-Client-Cert"))
	})
	if err := echo(address); err != nil {
		return err
	}
	s := &http.Server{Addr: address, Handler: mux}
	go func() {
		<-ctx.Done()
		time.Sleep(2 * time.Second) // until everybody knows that this pod ends
		end, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = s.Shutdown(end)
	}()
	if err := s.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	time.Sleep(time.Second) // what Shutdown has answered is on its way
	return nil
}

var client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

func get(url string) (int, string) {
	answer, err := client.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, strings.TrimSpace(string(body))
}

// first gives up after a minute.
func first(url, text string) error {
	begun, last := time.Now(), ""
	for count := 1; time.Since(begun) < time.Minute; count++ {
		status, body := get(url)
		if status == http.StatusOK && strings.Contains(body, text) {
			fmt.Println(begun.UnixNano(), time.Now().UnixNano(), count)
			return nil
		}
		last = fmt.Sprint(status, " ", body)
		time.Sleep(2 * time.Millisecond)
	}
	return fmt.Errorf("not answered within a minute; at last: %s", last)
}

func load(url, rate, length string) error {
	perSecond, err := strconv.Atoi(rate)
	if err != nil {
		return err
	}
	whole, err := time.ParseDuration(length)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	counts, example := map[int]int{}, ""
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	for end := time.Now().Add(whole); time.Now().Before(end); <-tick.C {
		group.Go(func() {
			status, body := get(url)
			mu.Lock()
			defer mu.Unlock()
			if counts[status]++; status != http.StatusOK {
				example = body
			}
		})
	}
	group.Wait()
	for _, status := range slices.Sorted(maps.Keys(counts)) {
		fmt.Printf("%d=%d ", status, counts[status])
	}
	fmt.Println(example)
	return nil
}
