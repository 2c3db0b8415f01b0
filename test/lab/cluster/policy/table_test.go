package main

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

var update = flag.Bool("update", false, "write what comes out into the fixtures")

func objects(t *testing.T, text string) (o Objects) {
	t.Helper()
	for doc := range strings.SplitSeq(text, "\n---\n") {
		one, _, err := scheme.Codecs.UniversalDeserializer().Decode([]byte(doc), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		switch one := one.(type) {
		case *networkingv1.NetworkPolicy:
			o.Policies = append(o.Policies, one)
		case *corev1.Pod:
			o.Pods = append(o.Pods, one)
		case *corev1.Namespace:
			o.Namespaces = append(o.Namespaces, one)
		default:
			t.Fatalf("%T", one)
		}
	}
	return o
}

// TestGolden compares the table of each fixture's objects, whose order must not matter, and lets nft read it.
func TestGolden(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(paths) < 5 {
		t.Fatal(paths, err)
	}
	for _, p := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(p), ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			o := objects(t, string(text))
			got := Table(o)
			slices.Reverse(o.Pods)
			slices.Reverse(o.Policies)
			if again := Table(o); again != got {
				t.Errorf("in another order they give\n%s", again)
			}
			golden := strings.TrimSuffix(p, ".yaml") + ".nft"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(golden); err != nil || string(want) != got {
				t.Errorf("%v; %s gives\n%s", err, p, got)
			}
			if _, err := exec.LookPath("nft"); err != nil || os.Geteuid() != 0 {
				t.Skip("needs root and nft: whether the kernel takes it")
			}
			cmd := exec.Command("unshare", "-n", "nft", "-f", "-")
			cmd.Stdin = strings.NewReader(got + got) // once in place of nothing, once in place of itself
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
