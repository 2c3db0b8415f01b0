package kube

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReadme is what the README tells a new user to do, and how each step is taken back.
func TestReadme(t *testing.T) {
	if *kubeconfig == "" {
		t.Skip("needs a cluster: make e2e-kube")
	}
	before := inventory(t)
	defer collect(t)
	sample := func(verb, name string) {
		t.Helper()
		objects := h(t, "sample", name)
		do(t, func() (string, error) { return run(objects, filepath.Join(*bin, "kubectl"), verb, "-f", "-") })
	}
	h(t, "check", "--pre")
	h(t, "install", "--profile", "demo")
	sample("apply", "shop")
	for _, d := range strings.Fields(k(t, "-n", "shop", "get", "deployments", "-o", "name")) {
		k(t, "-n", "shop", "rollout", "status", d, "--timeout=240s")
	}
	address := k(t, "-n", "istio-system", "get", "service", "heddle-ingressgateway", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")
	shared(t, address, 0, 0)
	sample("apply", "mtls")
	// The way web → checkout → payment → ledger is three hops deep, the last of plain TCP; payment fails now and then, on purpose.
	eventually(t, "something is bought", func() error {
		_, err := page(address, "/checkout")
		return err
	})
	apply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: outside}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: client, namespace: outside}\nspec: {terminationGracePeriodSeconds: 1, containers: [{name: app, image: \"lab.local/app:1\", args: [serve]}]}\n")
	k(t, "-n", "outside", "wait", "--for=condition=Ready", "pod/client", "--timeout=120s")
	answers(t, "outside", "client", "http://cart.shop:8080/", "0 Get")
	k(t, "delete", "namespace", "outside")
	sample("apply", "canary")
	shared(t, address, 3, 25)
	h(t, "check")

	sample("apply", "shop")
	shared(t, address, 0, 0)
	sample("delete", "mtls")
	sample("delete", "shop")
	h(t, "uninstall")
	left(t, before)
}

// shared asks for the catalog until version 2 has a part of the answers between two bounds, in percent.
func shared(t *testing.T, address string, least, most int) {
	t.Helper()
	eventually(t, fmt.Sprintf("version 2 has %d to %d %%", least, most), func() error {
		two := 0
		for range 100 {
			text, err := page(address, "/catalog")
			if err != nil {
				return err
			}
			var got struct{ Calls []struct{ Version string } }
			if err := json.Unmarshal([]byte(text), &got); err != nil || len(got.Calls) != 1 {
				return fmt.Errorf("%w: %s", err, text)
			}
			if got.Calls[0].Version == "v2" {
				two++
			}
		}
		if two < least || two > most {
			return fmt.Errorf("it has %d", two)
		}
		return nil
	})
}

// page asks the ingress gateway for a page of the shop.
func page(address, path string) (string, error) {
	answer, err := (&http.Client{Timeout: 5 * time.Second}).Get("http://" + address + path)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", answer.StatusCode, body)
	}
	return string(body), err
}
