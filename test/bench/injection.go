package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// runInjection asks heddled's webhook to inject pods as a Kubernetes API server does: over HTTP/2 and TLS, several at once, and as soon as one is answered the next.
func (b *bench) runInjection() error {
	p, err := b.startPlane()
	if err != nil {
		return err
	}
	if err := p.startHeddled(); err != nil {
		return err
	}
	roots, err := p.roots()
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: clientTLS(roots), ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 400}
	defer transport.CloseIdleConnections()
	i := &injection{p: p, client: &http.Client{Transport: transport, Timeout: 30 * time.Second}}
	for n := range 100 {
		body, err := review(n)
		if err != nil {
			return err
		}
		i.reviews = append(i.reviews, body)
	}
	out := table("at the same time", "p50", "p90", "p99", "max", "per second", "CPU of heddled each", "allocations", "KiB allocated")
	for _, n := range []int{1, 16, 400} {
		if err := p.profile(p.name("injection", n), b.duration/2, func() error { return i.measure(n, out) }); err != nil {
			return err
		}
	}
	fmt.Printf("\n### Injection: reviews of %.1f KiB, answers of %.1f KiB\n", float64(len(i.reviews[0]))/1024, float64(i.answer)/1024)
	out.end()
	return nil
}

type injection struct {
	p       *plane
	client  *http.Client
	reviews [][]byte
	answer  int // bytes
}

// review is what the API server sends for a new pod.
func review(n int) ([]byte, error) {
	service := n % 10
	pod, err := json.Marshal(deployedPod(namespaceOf(service), nameOf(service), n))
	if err != nil {
		return nil, err
	}
	kind, resource := metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}, metav1.GroupVersionResource{Version: "v1", Resource: "pods"}
	return json.Marshal(admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{Kind: "AdmissionReview", APIVersion: "admission.k8s.io/v1"}, Request: &admissionv1.AdmissionRequest{
		UID: types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", n)), Kind: kind, Resource: resource, RequestKind: &kind, RequestResource: &resource, Name: podName(nameOf(service), n), Namespace: namespaceOf(service),
		Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: pod}, Options: runtime.RawExtension{Raw: []byte(`{"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1"}`)}}})
}

// measure keeps n reviews under way for a while.
func (i *injection) measure(n int, out *tables) error {
	var before, after [3]float64
	counters := func(into *[3]float64) (err error) {
		into[0] = i.p.spent().Seconds()
		for k, name := range []string{"go_memstats_mallocs_total", "go_memstats_alloc_bytes_total"} {
			if into[k+1], err = i.p.metric(name); err != nil {
				return err
			}
		}
		return nil
	}
	if err := i.ask(0); err != nil { // connects
		return err
	}
	if err := counters(&before); err != nil {
		return err
	}
	var mu sync.Mutex
	var all []time.Duration
	var group errgroup.Group
	begun := time.Now()
	for k := range n {
		group.Go(func() error {
			var own []time.Duration
			for m := k; time.Since(begun) < i.p.b.duration; m++ {
				from := time.Now()
				if err := i.ask(m); err != nil {
					return err
				}
				own = append(own, time.Since(from))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, own...)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	took := time.Since(begun)
	if err := counters(&after); err != nil {
		return err
	}
	count := float64(len(all))
	q := quantiles(all, 10*time.Microsecond)
	out.row(slices.Concat([]string{strconv.Itoa(n)}, q[:], []string{fmt.Sprintf("%.0f", count/took.Seconds()), fmt.Sprintf("%.0f µs", (after[0]-before[0])/count*1e6),
		fmt.Sprintf("%.0f", (after[1]-before[1])/count), fmt.Sprintf("%.0f", (after[2]-before[2])/count/1024)})...)
	return nil
}

// ask sends one review; every pod must be injected.
func (i *injection) ask(n int) error {
	resp, err := i.client.Post("https://"+i.p.webhook+"/inject", "application/json", bytes.NewReader(i.reviews[n%len(i.reviews)]))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(`"allowed":true,"patch":`)):
		return fmt.Errorf("a pod is not injected: %s: %.300s", resp.Status, body)
	case resp.ProtoMajor != 2:
		return errors.New("the webhook does not speak HTTP/2")
	}
	if n == 0 {
		i.answer = len(body)
	}
	return nil
}
