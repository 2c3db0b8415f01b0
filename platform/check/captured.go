package check

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// captures is what /captures of a node agent says (platform/node).
type captures struct{ Way, Fell string }

// captured asks every ready agent, through the Kubernetes API, how its node captures.
func captured(ctx context.Context, s *state) error {
	if _, err := s.agent(ctx); err != nil {
		return err
	}
	agents, err := s.Typed.CoreV1().Pods(s.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + nodeAgent})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	var fell, silent []string
	by := map[string][]string{}
	turns := make(chan struct{}, 16) // asked at the same time
	for _, p := range agents.Items {
		if c := condition(&p, corev1.PodReady); c == nil || c.Status != corev1.ConditionTrue {
			continue // another look tells of it
		}
		group.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			how, err := s.captures(ctx, p.Name)
			mu.Lock()
			defer mu.Unlock()
			switch node := p.Spec.NodeName; {
			case err != nil:
				silent = append(silent, node+": "+err.Error())
			case how.Fell != "":
				fell = append(fell, node+" by "+how.Way+", because "+strings.ReplaceAll(how.Fell, "\n", "; "))
			default:
				way := cmp.Or(how.Way, "not known before a pod with a proxy starts")
				by[way] = append(by[way], node)
			}
		})
	}
	group.Wait()
	slices.Sort(fell)
	slices.Sort(silent)
	switch {
	case len(fell) > 0:
		return warn("%s", some(fell))
	case len(silent) > 0:
		return warn("an agent does not say how its node captures: %s", some(silent))
	}
	var all []string
	for _, way := range slices.Sorted(maps.Keys(by)) {
		slices.Sort(by[way])
		all = append(all, some(slices.Compact(by[way]))+": "+way)
	}
	if len(all) == 0 {
		return nil
	}
	return note(strings.Join(all, "; "))
}

// captures asks one agent.
func (s *state) captures(ctx context.Context, pod string) (how captures, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	text, err := s.Typed.CoreV1().Pods(s.Namespace).ProxyGet("http", pod, "15014", "captures", nil).DoRaw(ctx)
	if err != nil {
		return how, err
	}
	return how, json.Unmarshal(text, &how)
}
