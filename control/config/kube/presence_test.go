package kube

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/heddle-mesh/heddle/api"
)

// Many watches break when an API ends, and come back one after the other: it is said once each, and with the name of the API.
func TestPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var told []api.Problem
		p := &presence{client: &Client{Role: Cluster, Host: "https://a"}, log: slog.New(slog.NewTextHandler(&log, nil)), tell: func(ps []api.Problem) { told = ps }, answer: time.Now()}
		broken, forbidden := errors.New("connection refused"), apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no"))
		if p.heard(broken) || log.Len() > 0 {
			t.Error("one broken watch just after an answer is nothing to tell")
		}
		time.Sleep(justNow + time.Millisecond)
		for range 20 {
			p.heard(broken)
		}
		if n := strings.Count(log.String(), "the cluster's API is away"); n != 1 || len(told) != 1 || !strings.Contains(told[0].Message, "the cluster's API at https://a: connection refused") {
			t.Errorf("said %d times: %s; %v", n, log.String(), told)
		}
		if !p.heard(forbidden) || told != nil { // a refusal is an answer
			t.Error(told)
		}
		p.heard(broken)
		p.heard(nil)
		p.refused(forbidden)
		p.refused(forbidden)
		if text := log.String(); strings.Count(text, "answers again") != 1 || strings.Count(text, "is away") != 1 || strings.Count(text, "the cluster's API at https://a: pods is forbidden") != 1 {
			t.Error(text)
		}
	})
}

// Each kind is read from, and answered in, exactly one of two APIs.
func TestEachKindHasOneAPI(t *testing.T) {
	for _, k := range api.Kinds {
		if !Only.Reads(k) || Config.Reads(k) == Cluster.Reads(k) {
			t.Errorf("%s: configuration API %v, cluster's %v", k.Name(), Config.Reads(k), Cluster.Reads(k))
		}
	}
	for name, role := range map[string]Role{"ServiceEntry": Config, "Gateway": Config, "Secret": Cluster, "ConfigMap": Cluster, "Namespace": Cluster, "EndpointSlice": Cluster} {
		for _, k := range api.Kinds {
			if k.Kind == name && !role.Reads(k) {
				t.Errorf("%s does not come from the %s", k.Name(), role)
			}
		}
	}
}
